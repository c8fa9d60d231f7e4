"""The six services behind the BFF, embedded: their shapes and their quirks, over rows in memory."""
