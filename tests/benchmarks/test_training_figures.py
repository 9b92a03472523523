"""What tables and verdicts are computed from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from benchmarks import metrics
from benchmarks.measure import Spread, interleave, ratios, timed_with_rest
from benchmarks.training import bounds, busy, equal, quality, tuned
from benchmarks.training.material import Setup
from benchmarks.training.report import Report, Target, plain


def test_ratios_are_formed_within_each_round() -> None:
    # A machine twice as slow in the second round changes neither.
    assert ratios([2.0, 4.0, 2.2], [1.0, 2.0, 1.0]) == Spread(2.0, 2.0, 2.2, 3)


def test_rounds_alternate_their_order() -> None:
    seen: list[str] = []
    calls = {name: (lambda n=name: seen.append(n) or 1.0) for name in "ab"}
    assert interleave(calls, 3) == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert "".join(seen) == "abbaab"


def test_work_left_to_a_thread_is_counted() -> None:
    import threading
    import time

    def spin() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            sum(range(1000))

    took = timed_with_rest(lambda: threading.Thread(target=spin).start(), torch.device("cpu"))
    assert took > 0.15


def test_a_target_is_missed_by_what_is_no_number() -> None:
    assert Target("share", 0.96, 0.95).met
    assert not Target("share", 0.94, 0.95).met
    assert Target("difference", 1e-16, 1e-12, most=True).met
    assert not Target("share", math.nan, 0.95).met
    assert not Target("difference", math.nan, 1.0, most=True).met


def test_a_report_is_shown_and_saved(where: Setup) -> None:
    report = Report("some", where)
    report.table("Speeds", "who", "speed").add("loop", Spread(1.0, 0.5, math.inf, 5))
    report.target("speed", 1.0, 2.0)
    assert not report.missed  # --fast judges nothing
    judged = Report("some", Setup(where.device, 1, 5, where.out, None), targets=report.targets)
    assert judged.missed
    console = Console(width=120)
    with console.capture() as capture:
        report.show(console)
    assert "1.00 (0.50 to inf)" in capture.get()
    assert "not judged" in capture.get()
    saved = json.loads(report.save().read_text())
    assert saved["tables"][0]["rows"][0][1]["high"] is None
    assert saved["targets"][0]["met"] is False
    with pytest.raises(ValueError, match="1 values for 2 columns"):
        report.tables[0].add("loop")


def test_plain_values() -> None:
    assert plain({"a": (np.float32(0.5), math.nan)}) == {"a": [0.5, None]}


def test_where_a_searchs_time_went() -> None:
    attrs = [
        {"seconds": 6.0, "spans": [["w1", 100.0, 104.0], ["w2", 106.0, 110.0]]},
        {"seconds": 8.0, "spans": [["w2", 100.5, 110.0]]},
        {},  # asked for and never run
    ]
    found = busy.used(attrs, whole=20.0, cores=2)
    assert (found.training, found.running, found.wall) == (14.0, 17.5, 10.0)
    assert found.share(found.training, found.wall) == 0.7
    assert found.share(found.training, found.whole) == 0.35
    with pytest.raises(ValueError, match="no trial"):
        busy.used([{}], 1.0, 2)


def test_curves_that_differ_by_more_than_seeds_do_are_noticed() -> None:
    rng = np.random.default_rng(0)
    slow = 1 + 0.1 * rng.normal(size=(8, 5))
    same = equal.Difference(1 + 0.1 * rng.normal(size=(8, 5)), slow)
    moved = equal.Difference(slow + 0.3, slow)
    assert same.typical < equal.NOISE < moved.typical
    assert moved.mean == pytest.approx(np.full(5, 0.3))


def test_a_difference_of_scores_has_its_interval() -> None:
    ours, theirs = np.array([0.70, 0.72, 0.74]), np.array([0.71, 0.72, 0.73])
    found = quality.Compared.of(ours, theirs)
    assert found.difference == pytest.approx(0.0)
    assert found.low < 0 < found.high


def test_the_fastest_knobs_are_found() -> None:
    knobs = tuned.candidates(2)
    assert len(knobs) == 3 * 2 * 2
    wanted = tuned.Knobs(1, 2, True)
    found, took = tuned.best(lambda k: 1.0 if k == wanted else 2.0, knobs, 2)
    assert (found, len(took)) == (wanted, len(knobs))
    assert found.text() == "1 worker, 2 threads, channels_last"


def test_bytes_of_operators_are_those_they_read_and_write() -> None:
    a, b = torch.ones(100), torch.ones(100)
    with bounds.ByteCounter() as moved:
        (a.view(10, 10) + b.view(10, 10)).t()  # views are free
    assert moved.total == 3 * 400
    with bounds.ByteCounter() as moved:
        torch.empty(1000)
    assert moved.total == 0


def test_a_bound_is_the_longer_of_computing_and_moving() -> None:
    rates = bounds.Rates(flops=100.0, bytes=10.0)
    assert rates.seconds(flops=200.0, moved=10.0) == 2.0
    assert rates.seconds(flops=200.0, moved=50.0) == 5.0
    assert bounds.share(2.0, [4.0, 5.0, 8.0]).median == 0.4


class _Linear:
    """What `bounds.count` asks of a ceiling: one linear layer of 1,024 x 14."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 14))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.batch = torch.ones(8, 1, 32, 32)
        self.amp = None

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.model(self.batch).mean().backward()
        self.optimizer.step()


def test_flops_of_a_linear_layer() -> None:
    from benchmarks.training.material import recipe

    work = bounds.count(_Linear(), recipe(size=32))  # type: ignore[arg-type]
    # Forward and the gradient of the weights; images need none.
    assert work.flops == 2 * 2 * 8 * 1024 * 14
    weights = 4 * (1024 * 14 + 14)
    assert work.least >= 6 * weights
    assert work.eager > weights


def test_scores_beside_scikit_learns() -> None:
    labels, scores, patients = metrics.synthetic(400)
    found = metrics.against(labels, scores, 2)
    assert found.difference <= 1e-12
    assert found.ratio.rounds == 2
    took = metrics.naive_bootstrap(labels, scores, patients, 1, 1)
    assert took.seconds[1][0] > took.seconds[0][0]


def test_logits_of_a_file_are_read(tmp_path: Path) -> None:
    labels, scores, patients = metrics.synthetic(50)
    np.savez(tmp_path / "some.npz", labels=labels, patient=patients, scores=scores)
    assert (metrics.read(tmp_path / "some.npz")[1] == scores).all()
