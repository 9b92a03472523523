"""The problems: halves that share nothing, genes that are active, a best that is the best."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search.problem import Problem
from benchmarks.search.problems import DATA, half, lcbench_curve, problem

NAMES = {which: list(half(which)) for which in ("tune", "judge")}
ALL = [*NAMES["tune"], *NAMES["judge"]]


def get(name: str) -> Problem:
    """The problem; the test is skipped where its data are absent."""
    kind = name.partition("-")[0]
    folder = {"lcbench": "lcbench", "hpobench": "hpobench-nn"}.get(kind)
    if folder and not (DATA / folder).exists():
        pytest.skip(f"{DATA / folder} is absent; HPO_BENCHMARKS names where it is")
    if kind == "lcbench":
        pytest.importorskip("onnxruntime")
    return problem(name)


def test_the_halves_share_no_problem() -> None:
    assert not set(NAMES["tune"]) & set(NAMES["judge"])
    assert len(set(ALL)) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_no_configuration_is_better_than_the_best(name: str) -> None:
    this = get(name)
    rng = np.random.default_rng(0)
    regrets = [this.regret(this.evaluate(this.random(rng), rng)[1]) for _ in range(300)]
    assert min(regrets) >= -1e-9
    # Typical is the median; 300 draws come near it.
    assert np.mean(np.array(regrets) > 1) == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("name", ALL)
def test_only_noisy_problems_score_twice_differently(name: str) -> None:
    this = get(name)
    rng = np.random.default_rng(1)
    params = this.random(rng)
    scores = [this.evaluate(params, np.random.default_rng(k)) for k in range(12)]
    assert (len({observed for observed, _ in scores}) > 1) == this.noisy
    assert len({true for _, true in scores}) == 1


@pytest.mark.parametrize("name", ["models-two", "models-three", "models-two-noisy"])
def test_a_gene_is_active_with_its_model_only(name: str) -> None:
    this = get(name)
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(20):
        params = this.random(rng)
        active = this.active(params)
        model = params["model"]
        seen.add(model)
        assert set(params) == set(this.distributions)
        owners = {n.partition("_")[0] for n in active if "_g" in n}
        assert owners == {model}
        # What is switched off changes nothing.
        other = {**this.random(rng), **active}
        same = [this.evaluate(p, np.random.default_rng(5)) for p in (params, other, active)]
        assert same[0] == same[1] == same[2]
    assert len(seen) > 1


def test_a_problem_is_the_same_in_every_process() -> None:
    # Drawn from its name; these figures change only if the problems do.
    this = problem("recipe-noisy")
    params = this.random(np.random.default_rng(0))
    assert this.evaluate(params, np.random.default_rng(0))[1] == pytest.approx(
        problem.__wrapped__("recipe-noisy").evaluate(params, np.random.default_rng(0))[1]
    )


def test_a_curve_has_52_epochs_and_its_clock_never_goes_back() -> None:
    this = get("lcbench-3945")
    params = this.random(np.random.default_rng(6))
    curve = lcbench_curve("3945", params)
    assert curve.seconds.shape == curve.validation.shape == curve.test.shape == (52,)
    assert (np.diff(curve.seconds) >= 0).all()
    observed, true = this.evaluate(params, np.random.default_rng(0))
    assert (observed, true) == pytest.approx((curve.validation[-1], curve.test[-1]), rel=1e-5)
