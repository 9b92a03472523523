"""Augmented copies of a data set, as files."""
