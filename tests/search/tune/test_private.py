"""Ray's private parts, each by its name, so that a new Ray says what broke."""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

pytest.importorskip("ray")

import ray
from ray import _raylet
from ray._private import ray_constants, services, worker
from ray.air.execution._internal import RayActorManager
from ray.tune.execution import tune_controller
from ray.tune.utils import object_cache

ROOT = Path(__file__).parents[3]


def _parts() -> dict[str, bool]:
    """By the name of each private part, whether this Ray has it and uses it as ours does."""
    raylet: Any = _raylet
    controller = inspect.getsource(tune_controller.TuneController.__init__)
    wrapped = inspect.getsource(tune_controller)
    printer = inspect.signature(worker.print_to_stdstream).parameters
    return {
        "worker.print_to_stdstream(data, ...)": next(iter(printer)) == "data",
        "worker calls print_to_stdstream by its name in the module": (
            "partial(print_to_stdstream" in inspect.getsource(worker)
        ),
        "ray_constants.ENABLE_RAY_CLUSTER": isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool),
        "services asks ray_constants.ENABLE_RAY_CLUSTER": (
            "ray_constants.ENABLE_RAY_CLUSTER" in inspect.getsource(services)
        ),
        "_raylet.Config.initialize": callable(raylet.Config.initialize),
        "_raylet.AuthenticationTokenLoader.instance().reset_cache": (
            callable(raylet.AuthenticationTokenLoader.instance().reset_cache)
        ),
        "ray.init(_temp_dir=, _node_ip_address=)": all(
            f'"{name}"' in inspect.getsource(ray.init) for name in ("_temp_dir", "_node_ip_address")
        ),
        "ActorHandle._actor_id": hasattr(ray.actor.ActorHandle, "_actor_id"),
        "a scheduler's controller has _tune_controller": "self._tune_controller" in wrapped,
        "TuneController._actor_cache": "self._actor_cache = _ObjectCache(" in controller,
        "TuneController._actor_manager": "self._actor_manager = RayActorManager(" in controller,
        "_ObjectCache.increase_max(key, by)": (
            list(inspect.signature(object_cache._ObjectCache.increase_max).parameters)[1:]
            == ["key", "by"]
        ),
        "RayActorManager.cleanup": callable(RayActorManager.cleanup),
    }


def test_this_ray_has_every_private_part_that_is_used() -> None:
    gone = [name for name, there in _parts().items() if not there]
    assert not gone, f"Ray {ray.__version__}: search/tune/private.py relies on {gone}"


def test_the_installed_ray_is_within_the_bounds_and_the_bounds_end_after_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = next(r for r in map(Requirement, project["dependencies"]) if r.name == "ray")
    assert found.specifier.contains(ray.__version__)
    major, minor = map(int, ray.__version__.split(".")[:2])
    assert not found.specifier.contains(f"{major}.{minor + 1}.0"), "no test has seen that one"


def test_ray_s_private_parts_are_named_in_one_file() -> None:
    named = {
        str(path.relative_to(ROOT))
        for top in ("search", "cxrsearch")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _is_private_import(node)
    }
    assert named == {"search/tune/private.py"}


def _is_private_import(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return False
    return any(name.startswith("ray.") and "._" in name for name in names)
