"""Several models' predictions put together, with an honest estimate of what that brings.

NumPy only. Fit on one half of the patients, apply to the other::

    import numpy as np
    from cxrsearch.learn.ensemble import fit, nested, read_predictions

    half = read_predictions("fit_half.npz")        # labels, patients, (k, n, d) logits
    ensemble = fit(half.scores, half.labels, half.patients, members=half.names)
    other = read_predictions("other_half.npz")
    scores = ensemble.apply(other.scores)          # (n, d), in [0, 1]
    found = nested(half.scores, half.labels, half.patients)   # what to expect of it

`Ensemble.save` and `Ensemble.load` keep one as JSON; ``cxrsearch ensemble fit_half.npz --out
weights.json`` does the same from the command line.
"""

from .fitting import METHODS, fit
from .nested import NestedEstimate, nested
from .predictions import Saved, logits_of, read_predictions
from .weights import Ensemble

__all__ = [
    "METHODS",
    "Ensemble",
    "NestedEstimate",
    "Saved",
    "fit",
    "logits_of",
    "nested",
    "read_predictions",
]
