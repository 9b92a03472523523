"""Starting weights trained on images without labels."""
