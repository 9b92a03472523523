"""The 14 diseases of NIH ChestX-ray14, by NIH's names and in NIH's order."""

DISEASES: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""Column order of every (n, 14) array in the project (Wang et al., CVPR 2017, table 1)."""

NO_FINDING = "No Finding"
"""NIH's label for an image without any of the 14."""
