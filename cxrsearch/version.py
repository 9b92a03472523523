"""The version of this package, as cards and studies note it."""

__version__ = "0.1.0"
