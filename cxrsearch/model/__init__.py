"""A trained model, or an ensemble of them, as a folder: written, judged and used."""
