"""A study's models put together."""
