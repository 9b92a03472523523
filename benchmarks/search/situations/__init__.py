"""Problems as users have them: with known-good points, early stopping, failures and noise."""
