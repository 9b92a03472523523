"""From what a user points at to a description: dataset.yaml, a table, a folder, and in words."""
