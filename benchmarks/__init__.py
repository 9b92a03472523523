"""What the claims rest on: each module prints its figures against a baseline of the same run."""
