"""The links that a request passes on its way to a service, one file a link; `links.py` orders them."""
