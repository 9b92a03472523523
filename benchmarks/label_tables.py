"""How long a large label table takes, beside `pandas.read_csv`: ``-m benchmarks.label_tables``.

Tables as large as CheXpert's and PadChest's are made of the first rows of the real ones, repeated
under names and patients of their own. Each figure is of a process of its own; the processes take
turns. What is timed: `pandas.read_csv` of the file; reading it into labels, which includes
telling its format; splitting its patients; and what `cxrsearch dataset TABLE` shows.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.any_data.sources import MissingError, read_rows

HERE = Path(__file__).parents[1]
TABLES = HERE.parent / "shared" / "label-tables"
ROWS = {"chexpert_train.csv": 224_316, "padchest.csv": 160_868}
"""As many as the whole tables have."""
_RENAMED = {"chexpert_train.csv": ("Path",), "padchest.csv": ("ImageID", "PatientID", "StudyID")}


def write_large(table: Path, out: Path, rows: int) -> None:
    """The rows of ``table`` over and over, with other images and patients each time."""
    header, real = read_rows(table)
    renamed = [header.index(name) for name in _RENAMED[table.name]]
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number in range(rows):
            turn, row = number // len(real), list(real[number % len(real)])
            for at in renamed:
                row[at] = _again(row[at], turn)
            writer.writerow(row)


def _again(name: str, turn: int) -> str:
    """A name of turn ``turn``; of CheXpert's paths the patient's folder changes."""
    if "/patient" in name:
        start, number, rest = name.partition("/patient")
        return f"{start}{number}{turn:03d}{rest}"
    return f"{turn:03d}{name}"


def _pandas(table: Path) -> dict[str, float]:
    import pandas

    start = time.perf_counter()
    pandas.read_csv(table)
    return {"read": time.perf_counter() - start}


def _ours(table: Path) -> dict[str, float]:
    from cxrsearch.data.labels.tables import read_table
    from cxrsearch.data.splits import make_splits

    start = time.perf_counter()
    found = read_table(table)
    read = time.perf_counter()
    make_splits(found.images, found.labels, found.patients, seed=0, parts=found.parts)
    return {"read": read - start, "split": time.perf_counter() - read}


def _shown(table: Path) -> dict[str, float]:
    from click.testing import CliRunner

    from cxrsearch.cli import cli

    start = time.perf_counter()
    done = CliRunner().invoke(
        cli, ["dataset", str(table), "--out", str(table.parent / "shown.yaml"), "--force"]
    )
    if done.exit_code:
        raise SystemExit(done.output)
    return {"shown": time.perf_counter() - start}


WORKS: dict[str, Callable[[Path], dict[str, float]]] = {
    "pandas": _pandas,
    "ours": _ours,
    "dataset": _shown,
}


def _megabytes(field: str) -> float:
    """A size of this process, from /proc; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)


def worker(name: str, table: Path) -> None:
    """One measurement, as a line of JSON."""
    import numpy  # noqa: F401  before memory is looked at: both have it

    if name == "pandas":
        import pandas  # noqa: F401
    else:
        import cxrsearch.data.labels.tables
        import cxrsearch.data.splits  # noqa: F401
    before = _megabytes("VmRSS")
    times = WORKS[name](table)
    print(json.dumps(times | {"memory": _megabytes("VmHWM") - before}))


def measured(name: str, table: Path) -> dict[str, float]:
    """One measurement, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.label_tables", "--worker", name, str(table)],
        cwd=HERE, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} of {table}:\n{done.stdout}{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(table: Path, rounds: int) -> list[str]:
    """The lines on one table."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in WORKS}
    for turn in range(rounds):
        for name in list(WORKS) if turn % 2 else reversed(WORKS):
            rows[name].append(measured(name, table))
    base = [row["read"] for row in rows["pandas"]]
    whole = [row["read"] + row["split"] for row in rows["ours"]]
    lines = []
    for what, seconds, name in (
        ("pandas.read_csv", base, "pandas"),
        ("read", [row["read"] for row in rows["ours"]], "ours"),
        ("split", [row["split"] for row in rows["ours"]], "ours"),
        ("read and split", whole, "ours"),
        ("cxrsearch dataset", [row["shown"] for row in rows["dataset"]], "dataset"),
    ):
        ratios = [one / other for one, other in zip(seconds, base, strict=True)]
        memory = statistics.median(row["memory"] for row in rows[name])
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.append(f"  {what:18}{statistics.median(seconds):7.2f} s{spread:>24}{memory:9.0f} MB")
    return lines


def main() -> None:
    """Print a table for each label table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked.worker[0], Path(asked.worker[1]))
        return
    with tempfile.TemporaryDirectory(prefix="label-tables-") as home:
        for name, rows in ROWS.items():
            table = Path(home) / name
            try:
                write_large(asked.tables / name, table, rows)
            except MissingError as missing:
                print(f"{name}: skipped: {missing}")
                continue
            size = table.stat().st_size / 1e6
            print(f"{name}: {rows:,} rows, {size:.0f} MB; median of {asked.rounds} rounds")
            print(f"  {'':18}{'time':>9}{'ratio to read_csv':>24}{'peak memory':>12}")
            print("\n".join(compare(table, asked.rounds)), flush=True)


if __name__ == "__main__":
    main()
