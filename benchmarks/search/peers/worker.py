"""The child's side of `pipe`: ``python -m benchmarks.search.peers.worker PEER``.

Runs in an environment that has the peer's library and not this project's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

from .genes import LegPeer, Peer, Task

PEERS = {
    "smac": ("smac_peer", "Smac"),
    "dehb": ("dehb_peer", "DehbDE"),
    "ax": ("ax_peer", "Ax"),
    "syne-rea": ("syne_peer", "RegularizedEvolution"),
    "syne-bo": ("syne_peer", "BayesianOptimization"),
    "hebo": ("hebo_peer", "Hebo"),
    "dehb-brackets": ("dehb_peer", "DehbBrackets"),
}
"""Module and class by the name of the peer."""


def make(name: str, task: Task) -> Peer | LegPeer:
    """The peer ``name`` for ``task``; imports its library."""
    module, kind = PEERS[name]
    peer: Peer | LegPeer = getattr(importlib.import_module(f"{__package__}.{module}"), kind)(task)
    return peer


class Server:
    """Answers one message after another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._peer: Peer | LegPeer | None = None
        self._handles: dict[int, Any] = {}
        self._count = 0

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """To ``make``, ``ask`` or ``tell``."""
        if message["do"] == "make":
            self._peer = make(self._name, Task.from_json(message["task"]))
            return {}
        assert self._peer is not None, "make comes first"
        if message["do"] == "tell":
            self._peer.tell(self._handles.pop(message["handle"]), message["score"])
            return {}
        handle, params, *epochs = self._peer.ask()
        self._count += 1
        self._handles[self._count] = handle
        answer = {"handle": self._count, "params": params}
        return {**answer, "epochs": epochs[0]} if epochs else answer


def main() -> None:
    """Until standard input ends."""
    # Libraries print; what they print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = Server(sys.argv[1])
    for line in sys.stdin:
        try:
            found = server.answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
