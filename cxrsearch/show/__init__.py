"""Figures and pages. Reads study folders; imports neither torch nor ray."""
