"""What `workers` runs once, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """What is run once: one sampler on one problem with one seed."""

    sampler: str
    problem: str
    times: str
    workers: int
    seed: int
    trials: int
    charge: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a cell.

    Args:
        cell: what was run.
        started: utilisation until the last trial started.
        drained: utilisation until the last trial ended.
        seconds: simulated, until the last trial ended.
        unit: mean simulated seconds of the cell's trials.
        ask_tell: median and 95th percentile of the real seconds in ask and tell a trial.
        driver: share of the simulated time up to the last start in which the driver was busy,
            its real seconds taken for simulated ones; above 1 it cannot keep up.
        best: ``(trials ended, simulated seconds, regret)`` of each new best observed score.
        proposed: mean logarithm of the seconds of the proposals after the tenth.
        drift: rank correlation of the proposals' seconds with their number.
    """

    cell: Cell
    started: float
    drained: float
    seconds: float
    unit: float
    ask_tell: tuple[float, float]
    driver: float
    best: list[tuple[int, float, float]]
    proposed: float
    drift: float

    def regret(self, ended: int) -> float:
        """Normalised regret of the choice after ``ended`` trials have ended."""
        return [regret for count, _, regret in self.best if count <= ended][-1]

    def seconds_to(self, regret: float) -> float:
        """Simulated seconds until the choice was this good; infinite where it never was."""
        return next((at for _, at, found in self.best if found <= regret), float("inf"))
