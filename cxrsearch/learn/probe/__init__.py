"""Linear probes: the last layer alone, fitted on features of starting weights."""
