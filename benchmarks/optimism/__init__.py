"""Whether the corrected figure of a search's best model is right: see ``__main__``."""
