"""Label tables: which column is what, and every row that is wrong."""
