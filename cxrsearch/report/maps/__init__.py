"""Where a network looks: class activation maps, drawn over images and held against boxes."""
