"""Finalists of a search, trained again: who they are, which rerun is next, what it comes to."""
