"""Chest X-rays: reading, caching, splitting and drawing them."""
