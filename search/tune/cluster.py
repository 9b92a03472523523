"""The Ray cluster that trials run on: connect or start, how many trials fit, clean up."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from search.cores import detect_cpus, trials_on_gpus
from search.errors import StudyError
from search.stopping import Stop, Stopped

from .own import own_ray


@dataclass(frozen=True)
class Resources:
    """What a trial gets, and where.

    Args:
        cpus: processor cores a trial; may be a fraction.
        gpus: GPUs a trial; a fraction lets trials share one, above 1 it must be whole.
        concurrent: at most so many trials at a time; ``None``: as many as fit.
        max_concurrent: on a cluster that grows, so many at a time: those that no node has room for
            wait, and Ray's autoscaler sees that more nodes are wanted. In place of ``concurrent``.
        address: an existing Ray cluster (``"auto"``, ``"host:6379"``); ``None``: Ray is
            started on this machine, or used as it is where this process has started it.

    Raises:
        StudyError: where a number makes no sense.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    concurrent: int | None = None
    max_concurrent: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        problems = []
        if not (math.isfinite(self.cpus) and self.cpus > 0):
            problems.append(f"{self.cpus:g} CPUs a trial; give more than 0")
        if not (math.isfinite(self.gpus) and self.gpus >= 0):
            problems.append(f"{self.gpus:g} GPUs a trial; give 0 or more")
        elif self.gpus > 1 and self.gpus != int(self.gpus):
            problems.append(f"{self.gpus:g} GPUs a trial; above 1 only whole GPUs can be given")
        if self.concurrent is not None and self.concurrent < 1:
            problems.append(f"{self.concurrent} trials at a time; give at least 1")
        if self.max_concurrent is not None and self.max_concurrent < 1:
            problems.append(f"at most {self.max_concurrent} trials at a time; give at least 1")
        if self.concurrent is not None and self.max_concurrent is not None:
            problems.append(
                f"concurrent={self.concurrent} and max_concurrent={self.max_concurrent}; give one: "
                "max_concurrent where the cluster grows"
            )
        if problems:
            raise StudyError(problems)


def slots(node: Mapping[str, float], resources: Resources) -> int:
    """How many trials fit on one node with ``CPU`` and ``GPU`` amounts ``node``."""
    # Ray counts in ten-thousandths, so thirds of a core must not fail by rounding.
    by_cpu = math.floor(node.get("CPU", 0.0) / resources.cpus + 1e-4)
    if resources.gpus == 0:
        return by_cpu
    return min(by_cpu, trials_on_gpus(int(node.get("GPU", 0.0)), resources.gpus))


def alive_nodes(left_out: Collection[str] = ()) -> list[Any]:
    """Ray's records of the nodes that are alive, but for those with the given ids."""
    return [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in left_out]


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster this process is connected to.

    Args:
        resources: what a trial asks for.
        own: whether it was started here, for this search alone.
        logs: the folder of its logs where it is ours.
        left_out: ids of nodes that are to run no trials.
    """

    resources: Resources
    own: bool
    logs: Path | None = None
    left_out: set[str] = field(default_factory=set)

    def leave_out(self, node: str) -> bool:
        """Run no more trials on a node; False where none would be left to run them."""
        others = self.left_out | {node}
        if not any(slots(n["Resources"], self.resources) for n in alive_nodes(others)):
            return False
        self.left_out.add(node)
        return True

    def name_of(self, node: str) -> str:
        """A node as people know it."""
        for found in ray.nodes():
            if found["NodeID"] == node:
                host, address = found["NodeManagerHostname"], found["NodeManagerAddress"]
                name = found.get("NodeName", address)  # as `ray start --node-name` was told
                return f"{host if name == address else name} ({address})"
        return node

    def capacity(self) -> int:
        """How many trials may be on their way at a time, now: those that fit, unless it grows."""
        if self.resources.max_concurrent is not None:
            return self.resources.max_concurrent
        fit = sum(slots(node["Resources"], self.resources) for node in alive_nodes(self.left_out))
        return fit if self.resources.concurrent is None else min(fit, self.resources.concurrent)

    def last_words(self, worker: str) -> str:
        """The end of what ``worker`` wrote to its standard error, where that lies here."""
        if self.logs is None or ":" not in worker:
            return ""
        pid = worker.rpartition(":")[2]
        text = ""
        with suppress(OSError):
            for file in sorted(self.logs.glob(f"session_*/logs/worker-*-{pid}.err")):
                text += file.read_text(encoding="utf-8", errors="replace")
        _, fatal, trace = text.rpartition("Fatal Python error")
        text = (fatal + trace).partition("\nExtension modules:")[0]
        lines = [line for line in text.splitlines() if line and not line.startswith(":")]
        return "\n".join(lines[:12] if fatal else lines[-12:])[:2000]


@contextmanager
def connected(resources: Resources, stop: Stop) -> Iterator[Cluster]:
    """A cluster on which at least one trial fits.

    Args:
        resources: what a trial asks for.
        stop: what listens for signals; Ray puts handlers of its own there when it starts.

    Raises:
        StudyError: where there is no such cluster, or none could be started, with the way
            out. Nothing is left running.
        Stopped: where a signal came while Ray started.
    """
    if ray.is_initialized():
        cluster = Cluster(resources, own=False)
        check_fit(cluster)
        yield cluster
        return
    with ExitStack() as stack:
        way = _started if resources.address is None else _joined
        try:
            cluster = stack.enter_context(way(resources))
        except SystemExit as error:  # that is what Ray's own handlers make of a signal
            raise Stopped(signal.SIGTERM) from error
        if stop.armed:
            stop.arm()
        stop.raise_()
        yield cluster


@contextmanager
def _joined(resources: Resources) -> Iterator[Cluster]:
    assert resources.address is not None
    if "://" in resources.address:
        raise StudyError(
            f"--address {resources.address}: Ray Client cannot keep a search's driver here; run "
            "this command on a machine of the cluster, with --address auto"
        )
    try:
        ray.init(
            address=resources.address,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        raise StudyError(
            f"--address {resources.address}: no Ray cluster answers there ({_first_line(error)}); "
            "start one with `ray start --head`, set RAY_AUTH_MODE=token where it asks for a token, "
            "or leave --address out to run on this machine"
        ) from error
    try:
        cluster = Cluster(resources, own=False)
        check_fit(cluster)
        yield cluster
    finally:
        ray.shutdown()


@contextmanager
def _started(resources: Resources) -> Iterator[Cluster]:
    cpus = detect_cpus()
    if resources.cpus > cpus:
        raise StudyError(_too_much(resources, {"CPU": cpus}))
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(own_ray(cpus))
        except Exception as error:
            raise StudyError(
                f"Ray could not be started here ({_first_line(error)}); run the trials one after "
                "another with --runner serial"
            ) from error
        cluster = Cluster(resources, own=True, logs=folder / "r")
        check_fit(cluster)
        yield cluster


def check_fit(cluster: Cluster) -> None:
    """Refuse a cluster on which no trial would ever fit.

    One that grows may have no such node yet.

    Raises:
        StudyError: with what was asked for, what there is, and the way out.
    """
    if cluster.resources.max_concurrent is not None:
        return
    nodes = [node["Resources"] for node in alive_nodes()]
    if any(slots(node, cluster.resources) for node in nodes):
        return
    # The most of each kind on any one node, as a trial lives on one.
    best = {kind: max((n.get(kind, 0.0) for n in nodes), default=0.0) for kind in ("CPU", "GPU")}
    raise StudyError(_too_much(cluster.resources, best))


def _too_much(resources: Resources, best: Mapping[str, float]) -> list[str]:
    problems = []
    cpus, gpus = best.get("CPU", 0.0), best.get("GPU", 0.0)
    if resources.cpus > cpus:
        problems.append(
            f"--cpus-per-trial {resources.cpus:g}: the machine has {cpus:g} CPUs to give; ask for "
            "fewer, or connect to a larger cluster with --address"
        )
    if resources.gpus and not gpus:
        problems.append(
            f"--gpus-per-trial {resources.gpus:g}: Ray sees no GPU; leave it out to train on the "
            "CPU, check the driver with nvidia-smi, or connect to a cluster with --address"
        )
    elif resources.gpus > gpus:
        problems.append(
            f"--gpus-per-trial {resources.gpus:g}: no machine has more than {gpus:g} GPUs; ask for "
            "fewer"
        )
    return problems or [
        f"no machine has {resources.cpus:g} CPUs and {resources.gpus:g} GPUs together for a trial; "
        "ask for fewer"
    ]


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
