"""What trials say: fronts, early stopping, estimates, repeats."""
