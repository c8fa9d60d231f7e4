"""What changes something: one file per noun, as on the reading side, and what all of them are made of."""
