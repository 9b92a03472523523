"""What reading one image may raise."""

from __future__ import annotations


class ImageError(Exception):
    """One image cannot be used; the text is the reason. The other images go on without it."""
