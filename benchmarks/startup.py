"""How long ``cxrsearch --help`` takes beside another checkout: ``-m benchmarks.startup TREE``.

TREE is a checkout of the commit to compare with (``git worktree add TREE COMMIT``). The two take
turns, each round in another order; a ratio is formed within each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
COMMANDS = {
    "cxrsearch --help": ["-m", "cxrsearch", "--help"],
    "import cxrsearch, search": ["-c", "import cxrsearch, search"],
}
HEAVY = ("torch", "ray", "plotly", "optuna", "pandas", "scipy")
LOADED = f"""
import sys, cxrsearch, search
print(", ".join(name for name in {HEAVY} if name in sys.modules) or "none of them")
"""


def seconds(tree: Path, words: list[str]) -> float:
    """Of one start of Python with the product of ``tree``."""
    begin = time.perf_counter()
    _run(tree, words)
    return time.perf_counter() - begin


def _run(tree: Path, words: list[str]) -> str:
    # Both keep their bytecode, as an installed product does.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        [sys.executable, *words], env={**env, "PYTHONPATH": str(tree.resolve())},
        cwd=tempfile.gettempdir(), check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def main() -> None:
    """Print a ratio for each command, with its range, and what a bare import loads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="A checkout of the commit before.")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    for name, words in COMMANDS.items():
        ratios = []
        for turn in range(asked.rounds + 1):
            trees = (HERE, asked.tree) if turn % 2 else (asked.tree, HERE)
            took = {tree: seconds(tree, words) for tree in trees}
            if turn:  # the first round writes the bytecode
                ratios.append(took[HERE] / took[asked.tree])
        print(
            f"{name}: {statistics.median(ratios):.2f} of the other tree's time "
            f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)"
        )
    print(f"a bare import loads, of {', '.join(HEAVY)}: {_run(HERE, ['-c', LOADED]).strip()}")


if __name__ == "__main__":
    main()
