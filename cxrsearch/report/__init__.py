"""What a model is worth, on one page that can be published."""
