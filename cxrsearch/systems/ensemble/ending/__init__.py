"""What a study ends in: an ensemble of its trials, or of its winner with several seeds."""
