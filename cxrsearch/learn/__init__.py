"""Training and judging chest X-ray models."""
