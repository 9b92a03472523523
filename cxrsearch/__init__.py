"""cxrsearch: AutoML for small chest X-ray data sets.

From a folder of X-rays to a model that predicts::

    from cxrsearch import Settings, evaluate, predict, search, status, train

    study = search(Settings(data="my-xrays", trials=40), "results/first")
    print(status(study)["best"])

    model = train(study, "model")  # the recommended recipe, on train + validation
    print(evaluate(model)["mean"])  # AUROC on the test part; every look is counted

    found = predict(model, "new-xrays")
    for name, scores in zip(found.names, found.scores):
        print(name, dict(zip(found.labels, scores)))

A search that was stopped, or killed, goes on with `resume`; `confirm` trains its most promising
recipes again. Whatever the user gave that cannot
be used raises `InputError`, with all problems at once in its ``problems``.

Names are loaded when they are first used: a bare import loads neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .errors import InputError
    from .experiment import confirm, evaluate, extend, predict, resume, search, train
    from .model.predict import Predictions
    from .show.status import status
    from .study.settings import Settings

_HOMES = {
    "InputError": "errors",
    "Predictions": "model.predict",
    "Settings": "study.settings",
    "confirm": "experiment",
    "evaluate": "experiment",
    "extend": "experiment",
    "predict": "experiment",
    "resume": "experiment",
    "search": "experiment",
    "status": "show.status",
    "train": "experiment",
}
"""The module of each name."""

__all__ = [
    "InputError",
    "Predictions",
    "Settings",
    "__version__",
    "confirm",
    "evaluate",
    "extend",
    "predict",
    "resume",
    "search",
    "status",
    "train",
]

if not TYPE_CHECKING:  # a type checker would take every name for known

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
