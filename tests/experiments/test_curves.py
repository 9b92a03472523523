"""Rules replayed on learning curves, and how well cheap trainings rank recipes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from experiments import curves, fidelity, frozen
from experiments.curve_stop import (  # fmt: skip
    RULES,
    Run,
    at_saving,
    fallen,
    late_patience,
    patience,
    rates_of,
    real,
    replayed,
    spent,
)
from experiments.curves import Curve

FLAT = np.array([0.5, 0.6, *[0.55] * 8])
CONSTANT = np.ones(10)
FALLING = np.linspace(1.0, 0.0, 10)


def curve(
    recipe: int, seen: list[float], judged: list[float] | None = None, seed: int = 0,
    size: int = 32, seconds: float = 1.0,
) -> Curve:  # fmt: skip
    params = {"schedule": "cosine", "warmup": 0.0}
    times = [seconds] * len(seen)
    return Curve(recipe, seed, size, len(seen), params, seen, judged or seen, times)


def test_patience_ends_so_many_epochs_after_the_best() -> None:
    assert patience(0.3)(FLAT, CONSTANT) == 5
    assert patience(0.3)(np.arange(10.0), CONSTANT) == 10
    assert patience(1.0)(FLAT, CONSTANT) == 10


def test_late_patience_waits_for_a_low_rate_where_one_comes() -> None:
    rule = late_patience(0.3, 0.5)
    assert rule(FLAT, CONSTANT) == patience(0.3)(FLAT, CONSTANT)
    assert rule(FLAT, FALLING) == 8  # the rates of epochs 6, 7 and 8 are below a half
    assert rule(np.arange(10.0), FALLING) == 10


def test_a_plateau_is_not_fallen_and_a_decline_is() -> None:
    rule = fallen(0.3, 1)
    assert rule(np.full(10, 0.6), CONSTANT) == 10
    assert rule(np.array([0.5, 0.7, 0.66, 0.65, 0.64, 0.63, 0.62, 0.61, 0.6, 0.59]), CONSTANT) < 7


def test_a_schedule_is_spent_when_little_of_its_rate_is_left() -> None:
    assert spent(0.05)(FLAT, CONSTANT) == 10
    assert spent(0.1)(FLAT, FALLING) < 10


def test_what_a_rule_loses_is_judged_on_the_other_part() -> None:
    seen, judged = np.array([0.5, 0.6, 0.5, 0.5, 0.7]), np.array([0.5, 0.62, 0.5, 0.5, 0.66])
    outcome = replayed(lambda values, rates: 3, Run(seen, judged, np.ones(5), "a"))
    assert outcome == pytest.approx((0.4, 0.1, 0.04))
    assert replayed(lambda values, rates: 5, Run(seen, judged, np.ones(5), "a")) == (0, 0, 0)


def test_every_rule_trains_at_least_one_epoch_and_no_more_than_there_are() -> None:
    rng = np.random.default_rng(0)
    for rule in RULES.values():
        for rates in (CONSTANT, FALLING):
            assert 1 <= rule(rng.random(10), rates) <= 10


def test_patience_of_the_same_saving_lies_between_two_shares() -> None:
    assert at_saving([(0.4, 0.02), (0.2, 0.01)], 0.3) == pytest.approx(0.015)


def test_the_rates_of_an_epoch_are_the_schedules() -> None:
    rates = rates_of({"schedule": "cosine", "warmup": 0.0}, 4)
    assert rates[0] > rates[1] > rates[2] > rates[3]
    assert (rates_of({"schedule": "constant", "warmup": 0.0}, 4) == 1).all()


def test_the_noise_is_what_seeds_differ_by(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    two = [curve(0, [0.5, 0.6], seed=0), curve(0, [0.5, 0.62], seed=1), curve(1, [0.5, 0.9])]
    path.write_text("".join(json.dumps(asdict(c)) + "\n" for c in two))
    runs, noise = real(path)
    assert len(runs) == 3
    assert noise == pytest.approx(np.std([0.6, 0.62], ddof=1))


def test_curves_are_trained_once_and_a_torn_line_again(tmp_path: Path) -> None:
    folder, path = tmp_path / "data", tmp_path / "c.jsonl"
    write_phantom(folder, phantom_dataset(images=60, unlabelled=0, seed=3), side=48)
    data = curves.load(folder, tmp_path / "cache", curves.frame_for(32))
    patients = [set(data.patients[rows]) for rows in (data.train, data.val_seed, data.val)]
    assert not patients[0] & patients[1]
    assert not (patients[0] | patients[1]) & patients[2]
    found = curves.collect([(0, 0, 32, 1)], data, path)
    [made] = found.values()
    assert len(made.seen) == len(made.judged) == len(made.seconds) == 1
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    assert curves.read(path) == found
    assert curves.collect([(0, 0, 32, 1)], data, path) == found
    assert path.read_text() == whole


def test_a_cheap_training_that_ranks_alike_says_so() -> None:
    found = {}
    for recipe in range(8):
        for size, seconds in ((32, 1.0), (64, 4.0)):
            end = 0.5 + recipe / 100
            made = curve(recipe, [0.9 - recipe / 100, end + 0.4], size=size, seconds=seconds)
            found[made.key] = made
    table, recipes = fidelity.rows(found, 2)
    assert recipes == 8
    rows = {(row.size, row.epochs): row for row in table}
    assert [rows[key].cost for key in ((32, 1), (32, 2), (64, 1), (64, 2))] == pytest.approx(
        [1 / 8, 1 / 4, 1 / 2, 1]
    )
    assert (rows[32, 2].rank, rows[32, 2].kept) == (1, 1)
    assert (rows[32, 1].rank, rows[32, 1].kept) == (-1, 0)
    assert rows[32, 2].low > 0.5


def test_recipes_that_are_not_there_at_every_size_are_left_out() -> None:
    made = [curve(0, [0.5, 0.6]), curve(0, [0.5, 0.6], size=64), curve(1, [0.5, 0.6])]
    assert fidelity.rows({c.key: c for c in made}, 2) == ([], 1)


def test_frozen_blocks_are_a_growing_share_of_a_step() -> None:
    shares = [frozen.step("densenet121", freeze, 32)[0] for freeze in (1, 2, 3)]
    assert 0 < shares[0] < shares[1] < shares[2] < 1
    assert frozen.step("densenet121", 1, 32)[1] == 4 * 64 * 16 * 16
