"""Chest X-rays drawn from a seed, for demonstrations and tests."""
