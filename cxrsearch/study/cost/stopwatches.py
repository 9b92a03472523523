"""Processes that train side by side while they are timed; see `stopwatch_process`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import Any

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe
from search.cores import detect_cpus, thread_environment

from .recipe_kinds import RecipeKind
from .stopwatch_process import order

SECONDS = 1.0
"""For so long each kind of recipe is timed, or for one batch."""

ENOUGH_SECONDS = 20.0
"""After so long no further kind is begun where not all are wanted."""

LIMIT_SECONDS = 120.0
"""Processes that have not answered all by then are ended."""

WORKER_BYTES = 600 << 20
"""Memory of a process before it trains anything."""

MEMORY_SHARE_OF_ALL = 0.8
"""Share of the memory that all trials may use together."""


class TimingError(Exception):
    """A measurement that came to nothing, with the reason."""


def timed(
    recipes: Mapping[RecipeKind, Recipe],
    at_once: int,
    compute: ComputeOptions,
    whole: bool = False,
    *,
    n_classes: int,
) -> tuple[dict[RecipeKind, float], bool]:
    """Time each recipe in ``at_once`` processes at the same time, one recipe after another.

    Args:
        recipes: a recipe of each kind, the weightiest first.
        at_once: processes, among which the memory is shared out.
        compute: on ``cpu`` or ``cuda``; its threads are of each, set before torch is loaded.
        whole: whether all are wanted. Else, on a slow machine, the first few are enough.
        n_classes: labels to learn.

    Returns:
        seconds an image takes each process, by kind (median over the processes), and whether
        by the estimate of a trial's memory there is room for twice as many.

    Raises:
        TimingError: where memory ran short, or a process ended or took too long.
    """
    _check_memory(at_once)
    seconds: dict[RecipeKind, float] = {}
    doubles, begin = True, time.monotonic()
    share = replace(compute, memory_share=MEMORY_SHARE_OF_ALL / at_once)
    with started(at_once, compute.threads or detect_cpus(), limit=LIMIT_SECONDS) as processes:
        for kind, recipe in recipes.items():
            if seconds and not whole and time.monotonic() - begin > ENOUGH_SECONDS:
                break
            tell(processes, order(recipe, share, SECONDS, n_classes))
            doubles &= all(found["doubles"] for found in answers(processes))
            tell(processes, "go")
            times = [float(found["seconds"]) for found in answers(processes)]
            seconds[kind] = statistics.median(times)
    return seconds, doubles


def _check_memory(at_once: int) -> None:
    import torch

    from cxrsearch.learn.compute.device import free_memory

    free = free_memory(torch.device("cpu"))
    if at_once > 1 and at_once * WORKER_BYTES > free:
        raise TimingError(
            f"{free / 2**30:.1f} GiB of memory are free, too few for {at_once} processes"
        )


@contextmanager
def started(
    at_once: int,
    threads: int,
    module: Sequence[str] = ("cxrsearch.study.cost.stopwatch_process",),
    limit: float = LIMIT_SECONDS,
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that run ``module`` and answer line by line, gone at the end, whatever happens.

    Args:
        at_once: processes.
        threads: of each, set before torch is loaded.
        module: its name and arguments; it answers each line with a line of JSON.
        limit: seconds after which they are ended.
    """
    root = str(Path(__file__).parents[3])  # where this package lies
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, **thread_environment(threads), "PYTHONPATH": path}
    processes: list[subprocess.Popen[str]] = []
    # They end with their input, so none outlives this process even where that is killed.
    watchdog = Timer(limit, _end, [processes])
    watchdog.daemon = True
    try:
        for _ in range(at_once):
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", *module],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        watchdog.start()
        yield processes
    except OSError as error:
        raise TimingError(error.strerror or str(error)) from error
    finally:
        watchdog.cancel()
        _end(processes)
        for process in processes:
            with suppress(OSError):
                process.communicate()


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()


def tell(processes: Sequence[subprocess.Popen[str]], line: str) -> None:
    """Send each process a line."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()


def answers(processes: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What each process says next.

    Raises:
        TimingError: where one has gone, or says what went wrong.
    """
    return [_answer(process) for process in processes]


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    while (line := process.stdout.readline()) and not line.startswith("{"):
        pass  # whatever a library had to say
    if not line:
        code = process.wait()
        killed = "a process was ended: it took too long, or memory ran out"
        raise TimingError(killed if code == -9 else f"a process ended with exit code {code}")
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        raise TimingError(str(found["error"]))
    return found
