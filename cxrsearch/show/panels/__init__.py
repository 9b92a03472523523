"""The parts of a dashboard, one figure or table each."""
