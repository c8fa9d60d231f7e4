"""How the database came to be what it is, one file a revision; run by `clients/store/migrate.py`."""
