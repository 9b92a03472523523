"""What all tests share: one thread for each library, and one Ray for the whole session."""

from __future__ import annotations

import functools
import gc
import os
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

# The same examples in every run; `pytest --hypothesis-profile explore` looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("same")

# Before anything loads a numerical library, here and in the processes that tests start.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A training that asks for more threads than there are idle cores would else burn as many again in
# waiting: half of the time of all trainings where two processes test on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="module", autouse=True)
def _old_objects_are_not_searched() -> None:
    """Leave what was there before a file of tests to itself when garbage is collected.

    Each training ends with a collection, and looking through all loaded libraries takes longer than
    the trainings of tests do.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes a file stays in one, and all that need Ray in one with one Ray.

    By the file's text, since the process that deals tests out knows no more than their names.
    """
    from xdist.scheduler import LoadFileScheduling

    @functools.cache
    def needs_ray(file: str) -> bool:
        return "pytest.mark.ray" in (config.rootpath / file).read_text(encoding="utf-8")

    class OneRay(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "ray" if needs_ray(file) else file

    return OneRay(config, log)


@pytest.fixture(scope="session")
def one_ray() -> Iterator[None]:
    """A Ray of two CPUs on this machine, for all tests."""
    pytest.importorskip("ray")
    from search.tune.own import own_ray
    from search.tune.quiet import quiet

    with quiet(), own_ray(cpus=2, gpus=0):
        yield


@pytest.fixture
def ray_session(one_ray: None) -> Iterator[None]:
    """The session's Ray; `run_tune` uses it, leaves it running, and gives back all of its CPUs.

    The next test's trials, or another user's on a shared cluster, would wait for them for ever.
    """
    yield
    import ray

    for _ in range(1200):
        if ray.available_resources().get("CPU") == 2.0:
            return
        time.sleep(0.1)
    groups = [g for g in ray.util.placement_group_table().values() if g["state"] != "REMOVED"]
    pytest.fail(f"a CPU is still taken 120 seconds after the run: {groups}")


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 becomes a network of one layer, so that epochs take no time."""
    from torch import Tensor, nn

    from cxrsearch.learn.networks import models
    from cxrsearch.learn.networks.architectures import NetworkParts
    from cxrsearch.learn.networks.stem import GreyStem

    class Small(nn.Module):
        """A convolution, a norm and a layer."""

        def __init__(self, n_classes: int) -> None:
            super().__init__()
            self.stem = GreyStem(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False))
            self.norm = nn.BatchNorm2d(8)
            self.classifier = nn.Linear(8, n_classes)

        def features(self, grey: Tensor) -> Tensor:
            """(b, 1, H, W) -> (b, 8, h, w)."""
            maps: Tensor = self.norm(self.stem(grey)).relu()
            return maps

        def forward(self, grey: Tensor) -> Tensor:
            """(b, 1, H, W) -> (b, n_classes)."""
            out: Tensor = self.classifier(self.features(grey).mean(dim=(2, 3)))
            return out

    def build(n_classes: int) -> NetworkParts:
        net = Small(n_classes)
        return NetworkParts(net, [[net.stem, net.norm]], "stem", Small.features)

    monkeypatch.setitem(models.NETWORKS, "densenet121", build)
