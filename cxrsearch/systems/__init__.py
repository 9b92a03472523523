"""The systems of the report beside the search itself, a folder each."""
