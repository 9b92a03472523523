"""What a training costs: timed steps, hours and disk of a search, trials side by side."""
