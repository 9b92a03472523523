"""What a training leaves on the disk: checkpoints, weights, arrays."""
