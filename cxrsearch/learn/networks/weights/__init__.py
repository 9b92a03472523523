"""Starting weights: what ``init`` asks for, where files lie, what is in them, and what fits."""
