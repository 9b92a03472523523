"""Experiments that decided something once; what, says README.md here."""
