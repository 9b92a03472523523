"""A teacher labels what has no label, and a student learns from both."""
