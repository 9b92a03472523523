"""A study's history in Optuna's tables: all that knows their layout."""
