"""Epochs against what is lost, for rules of early stopping on the same recipes."""
