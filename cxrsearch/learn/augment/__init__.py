"""Images for the network: the window of a frame, augmentation, mixtures, sizes that grow."""
