"""What confirmation is worth: the same budget with and without reruns of the finalists."""
