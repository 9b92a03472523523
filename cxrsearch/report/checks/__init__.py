"""What would make a report's figures false or doubtful, each as a sentence with its evidence."""
