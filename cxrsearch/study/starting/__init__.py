"""What networks begin with: weights of other trainings, and those of X-rays that we draw."""
