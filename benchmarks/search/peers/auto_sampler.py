"""OptunaHub's AutoSampler, out of a local copy of its registry.

``python -m benchmarks.search.peers.auto_sampler`` downloads it once, by OptunaHub's own client.
A search never does: cells run in many processes, and on machines without network.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from optuna.samplers import BaseSampler

from .pipe import ENVIRONMENTS

REGISTRY = "OPTUNAHUB_REGISTRY"
"""The variable that names a checkout of github.com/optuna/optunahub-registry."""
REF = "ee680199100edbd95e0000eb20696c3ec5505973"
"""The commit of the registry that is downloaded."""
PACKAGE = "samplers/auto_sampler"
CACHE = ENVIRONMENTS / "optunahub"
"""Where downloads go, beside the environments of other peers."""


def packages() -> Path:
    """The folder of packages: of the checkout that is named, else of what was downloaded."""
    named = os.environ.get(REGISTRY)
    downloaded = CACHE / "github.com" / "optuna" / "optunahub-registry" / REF
    return (Path(named) if named else downloaded) / "package"


def missing() -> str:
    """Why it cannot be used, with the way out, or an empty text."""
    if not find_spec("optunahub"):
        return "optunahub is not installed: run make bench-peers"
    if (packages() / PACKAGE / "__init__.py").exists():
        return ""
    named = os.environ.get(REGISTRY)
    if named:
        return (
            f"{REGISTRY} is {named}, which has no package/{PACKAGE}: "
            "let it name a checkout of github.com/optuna/optunahub-registry"
        )
    return (
        f"no copy of {PACKAGE}: run make bench-peer-auto where GitHub can be reached, "
        f"or let {REGISTRY} name a checkout of github.com/optuna/optunahub-registry"
    )


def version() -> str:
    """Of what was loaded: the registry has no versions of its packages."""
    found = sha256()
    for path in sorted((packages() / PACKAGE).glob("*.py")):
        found.update(path.read_bytes())
    return f"auto_sampler {found.hexdigest()[:8]}"


def sampler(seed: int) -> BaseSampler:
    """A fresh one."""
    import optunahub

    module: ModuleType = optunahub.load_local_module(PACKAGE, registry_root=str(packages()))
    made: BaseSampler = module.AutoSampler(seed=seed)
    return made


def download() -> None:
    """Into `CACHE`, unless it is there."""
    import optunahub

    os.environ["OPTUNAHUB_CACHE_HOME"] = str(CACHE)
    optunahub.load_module(PACKAGE, ref=REF)


if __name__ == "__main__":
    if not os.environ.get(REGISTRY) and find_spec("optunahub"):
        download()
    reason = missing()
    print(reason or f"{packages() / PACKAGE}: {version()}")
    sys.exit(bool(reason))
