"""What the BFF itself remembers, in its own database: SQLite embedded, PostgreSQL in production."""
