"""NVIDIA's multi-process service (MPS), by which kernels of several processes run at once.

Without it processes that share a GPU take turns. It is a program of NVIDIA's driver package. An
error of one process that the service cannot contain ends all of them: so it is asked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxrsearch.errors import InputError

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
USUAL = "/tmp/nvidia-mps"
"""Where processes look for the service that are not told otherwise."""
ANSWER_SECONDS = 60.0
"""Seconds that it may take to start, or to stop."""


def service_runs() -> bool:
    """Whether processes that are started now find a service."""
    return (Path(os.environ.get(PIPES, USUAL)) / "control").exists()


@contextmanager
def service() -> Iterator[None]:
    """A service for the processes that are started within; one that runs already is used.

    Raises:
        InputError: where there is none and none can be started.
    """
    if service_runs():
        yield
        return
    if shutil.which(CONTROL) is None:
        raise InputError(f"--nvidia-mps: {CONTROL} is not installed here; leave it out")
    before = {name: os.environ.get(name) for name in (PIPES, LOGS)}
    with tempfile.TemporaryDirectory(prefix="cxrsearch-mps-", ignore_cleanup_errors=True) as folder:
        os.environ.update({PIPES: folder, LOGS: folder})
        try:
            try:
                _control("-d")
            except (OSError, subprocess.SubprocessError) as error:
                raise InputError(f"--nvidia-mps: {CONTROL} does not start: {error}") from error
            try:
                yield
            finally:
                with suppress(OSError, subprocess.SubprocessError):  # it may have ended by itself
                    _control(said="quit\n")
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def _control(*words: str, said: str | None = None) -> None:
    subprocess.run(
        [CONTROL, *words], input=said, text=True, check=True, timeout=ANSWER_SECONDS,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
