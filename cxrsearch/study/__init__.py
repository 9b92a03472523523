"""A search from its settings to its winner, in a folder of its own."""
