"""What would make a model's figures false, each told by numbers: nothing here trains or scores."""
