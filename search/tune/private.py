"""Ray's private parts, all that are used here: for what Ray has no public setting.

They change without notice, so pyproject.toml bounds Ray to the versions that the tests have seen,
and `tests/search/tune/test_private.py` names the part that is gone. A part that is missing is
passed over here where that costs nothing but time or quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import _raylet
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.tune.experiment import Trial


@contextmanager
def without_death_notices() -> Iterator[None]:
    """Keep Ray from printing a page for every worker that dies.

    Its message goes into the trial's history instead. Ray prints it whatever
    ``log_to_driver`` says, and has no setting for it; other messages pass.
    """
    printer = getattr(ray_worker, "print_to_stdstream", None)

    def passing(data: Any, *args: Any, **kwargs: Any) -> None:
        if printer is not None and data.get("pid") != "raylet":
            printer(data, *args, **kwargs)

    if printer is not None:
        ray_worker.print_to_stdstream = passing
    try:
        yield
    finally:
        if printer is not None:
            ray_worker.print_to_stdstream = printer


@contextmanager
def loopback() -> Iterator[None]:
    """Make the Ray that is started within listen on this machine only.

    Asked for 127.0.0.1, Ray on Linux takes the machine's outer address all the same and
    listens on every interface, unless it is told that it is no part of a cluster.
    """
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", None)
    try:
        if before is not None:
            ray_constants.ENABLE_RAY_CLUSTER = False
        yield
    finally:
        if before is not None:
            ray_constants.ENABLE_RAY_CLUSTER = before


def read_mode() -> None:
    """Have Ray read from the environment again whether it asks for a token, and which.

    It did so when it was imported. Ray does it again by the same private means; without them it
    asks for no token.
    """
    with suppress(AttributeError):
        private: Any = _raylet
        private.Config.initialize("")
        private.AuthenticationTokenLoader.instance().reset_cache()


def actor_id(actor: Any) -> str:
    """The id of an actor, whether or not it answers."""
    return str(actor._actor_id.hex())


def keep_workers(controller: Any, trial: Trial, number: int) -> None:
    """Let Tune keep ``number`` more workers while there is no next trial for them.

    Left to itself it keeps one, so at every generational barrier all others would be
    ended and started anew. Tune has no public setting for this: without its cache this does
    nothing, and only time is lost.
    """
    cache: Any = getattr(getattr(controller, "_tune_controller", None), "_actor_cache", None)
    if hasattr(cache, "increase_max"):
        cache.increase_max(trial.placement_group_factory, by=number)


def give_back(controller: Any) -> None:
    """Remove the placement groups of a run that has ended, those of a `Halt` with it.

    Tune does so itself after an `Exception`; after any other way out they stay until Python
    happens to collect its controller, which an error's traceback can hold for long.
    """
    manager: Any = getattr(getattr(controller, "_tune_controller", None), "_actor_manager", None)
    if hasattr(manager, "cleanup") and ray.is_initialized():
        with suppress(Exception):
            manager.cleanup()
