"""What is done to a network's weights beside an optimiser's steps."""
