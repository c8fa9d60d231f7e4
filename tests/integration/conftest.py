"""What tests over sockets share with the drills under load: an account of the cores that others took."""

from stolen import stolen

__all__ = ["stolen"]
