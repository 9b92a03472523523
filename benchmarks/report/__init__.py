"""What the report of a model rests on."""
