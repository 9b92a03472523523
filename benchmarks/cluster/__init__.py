"""A search on several nodes of this machine, its history in a database of its own."""
