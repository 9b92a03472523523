"""Problems as users have them: what is drawn, how a search goes in them, how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from optuna.samplers import GPSampler, RandomSampler
from optuna.trial import TrialState, create_trial

from benchmarks.search import compare, contenders, running
from benchmarks.search.__main__ import main
from benchmarks.search.cells import Cell, Course
from benchmarks.search.contenders import OptunaContender
from benchmarks.search.fingerprint import fingerprint
from benchmarks.search.pieces import TAUGHT, without
from benchmarks.search.problems import EPOCHS, Curve, half
from benchmarks.search.situations import drawing, learners, searching, situation
from benchmarks.search.situations.situation import CELLS, Situated, problem, shortened
from search.genetic.design import row_of
from search.trials.summary import is_blameless


def get(name: str) -> Situated:
    """A problem in a situation."""
    found = problem(name)
    assert isinstance(found, Situated)
    return found


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """LCBench's curves rise to ``max_dropout``, and a search on them needs no data."""

    def rising(task: str, params: Any) -> Curve:
        epochs = np.arange(1, EPOCHS + 1)
        values = (1 - 0.5 / epochs) * (0.5 + params["max_dropout"] / 2)
        return Curve(2.0 * epochs, values, values - 0.01)

    monkeypatch.setattr(situation, "lcbench_curve", rising)
    problem.cache_clear()
    yield
    problem.cache_clear()


class Watched(RandomSampler):
    """Random search that notes what it could see when it was asked."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.begun: list[list[TrialState]] = []
        self.seen: list[list[TrialState]] = []

    def before_trial(self, study: optuna.Study, trial: Any) -> None:
        self.begun.append([t.state for t in study._get_trials(deepcopy=False)])

    def infer_relative_search_space(self, study: optuna.Study, trial: Any) -> dict[str, Any]:
        found = study._get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        self.seen.append([t.state for t in found])
        return {}


def searched(name: str, sampler: Any, trials: int = 25) -> Course:
    """A search of a sampler in a situation."""
    this = get(name)
    return searching.run(this, OptunaContender(this, sampler), 0, trials)


@pytest.mark.parametrize("which", ["tune", "judge"])
def test_situations_keep_the_halves_apart_and_most_of_the_noisy_ones_are_tables(which: str) -> None:
    bases = {base for names in CELLS[which].values() for base in names}
    assert {base.rpartition("-depth")[0] or base for base in bases} <= set(half(which))
    noisy = [*CELLS[which]["noise"], *CELLS[which]["seeds"], *CELLS[which]["all"]]
    noisy += [b for name in ("copies", "misleading", "failures") for b in CELLS[which][name]
              if b.startswith("hpobench")]  # fmt: skip
    assert sum(base.startswith("hpobench") for base in noisy) > len(noisy) / 2


def test_points_are_near_copies_of_a_good_recipe_and_others_with_another_seed() -> None:
    this = get("rastrigin-mixed+copies")
    points = [dict(point.params) for point in this.space(0).points]
    assert points == [dict(point.params) for point in this.space(0).points]
    assert points != [dict(point.params) for point in this.space(1).points]
    assert [sum(p[g] != points[0][g] for g in p) for p in points] == [0, 1, 1, 1, 1]
    rng = np.random.default_rng(0)
    drawn = [this.evaluate(this.random(rng), rng)[1] for _ in range(100)]
    assert np.mean(np.array(drawn) > this.evaluate(points[0], rng)[1]) < 0.2


def test_misleading_points_look_good_in_a_region_poorer_than_that_of_others() -> None:
    this = get("rastrigin-mixed+misleading")
    rng = np.random.default_rng(0)

    def true(params: Any) -> float:
        return this.evaluate(params, rng)[1]

    def around(params: Any) -> float:
        nears = [drawing.neighbour(this, dict(params), rng) for _ in range(50)]
        return float(np.mean([true(near) for near in nears]))

    drawn = sorted([this.random(rng) for _ in range(100)], key=true)
    points = [point.params for point in this.space(0).points]
    assert len({repr(sorted(params.items())) for params in points}) == 5
    assert true(points[0]) > true(drawn[80])
    assert around(points[0]) < np.mean([around(params) for params in drawn[-10:]])


def test_some_recipes_fail_but_hardly_any_of_the_best() -> None:
    this = get("rastrigin-mixed+failures")
    rng = np.random.default_rng(1)
    drawn = [this.random(rng) for _ in range(400)]
    failed = np.array([this.fails(params) for params in drawn])
    best = np.argsort([this.evaluate(params, rng)[1] for params in drawn])[-20:]
    assert failed.mean() == pytest.approx(0.15, abs=0.05)
    assert failed[best].mean() <= 0.05
    reasons = [this.train(params, 0, k).failure for k, params in enumerate(drawn)]
    assert reasons == [this.train(params, 0, k).failure for k, params in enumerate(drawn)]
    assert reasons.count("out of memory") == failed.sum()
    assert reasons.count("killed") / (~failed).sum() == pytest.approx(0.1, abs=0.05)


def test_a_shorter_training_ends_where_the_long_one_stands_by_then() -> None:
    curve = 1 - 1 / np.arange(1.0, EPOCHS + 1)
    assert shortened(curve, EPOCHS) == pytest.approx(curve)
    short = shortened(curve, 20)
    assert short.shape == (20,)
    assert short[-1] == pytest.approx(curve[19])
    assert short[1] > curve[1], "it is further on in its schedule after the same epoch"


def test_known_points_come_first_and_are_seen_by_the_sampler() -> None:
    sampler = Watched()
    found = searched("rastrigin-mixed+copies", sampler)
    this = get("rastrigin-mixed+copies")
    rng = np.random.default_rng(0)
    true = [this.evaluate(point.params, rng)[1] for point in this.space(0).points]
    assert found.best[0][2] == pytest.approx(true[0], rel=1e-4)
    assert max(score for trial, _, score in found.best if trial < 5) == pytest.approx(
        max(true), rel=1e-4
    )
    assert [len(seen) for seen in sampler.seen] == list(range(5, 25))
    assert len(found.recommended) == 1
    assert found.rule == fingerprint("expectation", "finalists")


@pytest.mark.usefixtures("curves")
def test_stopped_trials_are_seen_as_such_or_as_complete_by_who_looks_at_no_other() -> None:
    plain = Watched()
    searched("lcbench-126025+halving", plain)
    assert TrialState.PRUNED in plain.seen[-1]
    shown = Watched()
    study = get("lcbench-126025+halving")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learners, "COMPLETE_ONLY", (Watched,))
        searching.run(study, OptunaContender(study, shown), 0, 25)
    assert set(shown.seen[-1]) == {TrialState.COMPLETE}
    assert len(shown.seen[-1]) == len(plain.seen[-1])
    assert TrialState.PRUNED not in shown.begun[-1]
    assert shown.begun[-1].count(TrialState.COMPLETE) == len(shown.seen[-1])
    assert isinstance(
        learners.learner(OptunaContender(study, GPSampler(seed=0)), study),
        learners.CompleteSampler,
    )


class Asked:
    """A contender that is asked and told only."""

    def __init__(self, this: Situated) -> None:
        self._this, self._rng = this, np.random.default_rng(0)
        self.told: dict[int, float] = {}
        self.count = 0

    def ask(self) -> tuple[int, dict[str, Any]]:
        self.count += 1
        return self.count, self._this.random(self._rng)

    def tell(self, key: int, params: dict[str, Any], observed: float) -> None:
        self.told[key] = observed

    def close(self) -> None: ...


def test_who_is_asked_and_told_hears_the_worst_of_failures_and_nothing_of_points() -> None:
    this = get("rastrigin-mixed+failures")
    contender = Asked(this)
    course = searching.run(this, contender, 0, 25)
    assert contender.count == 25
    assert sorted(contender.told) == list(range(1, 25))
    assert sorted(contender.told.values()).count(min(contender.told.values())) > 1
    assert max(contender.told.values()) == pytest.approx(course.best[-1][1], rel=1e-4)
    points = get("rastrigin-mixed+copies")
    contender = Asked(points)
    searching.run(points, contender, 0, 25)
    assert contender.count == 20


@pytest.mark.usefixtures("curves")
def test_a_cell_in_a_situation_is_the_same_when_run_again() -> None:
    job = running.Job("random", "v", False, "lcbench-126025+halving", 0, 25)
    one, two = running.run_cell(job), running.run_cell(job)
    assert (one.best, one.recommended) == (two.best, two.recommended)
    assert one.best[-1][1] > one.best[0][1]


def test_what_the_sampler_is_taught_can_be_left_out() -> None:
    space = {f"g{k}": optuna.distributions.FloatDistribution(0, 1) for k in range(5)}
    copies = [
        create_trial(
            value=0.0,
            params=dict.fromkeys(space, 0.5),
            distributions=space,
            system_attrs={"fixed_params": dict.fromkeys(space, 0.5)},
        )
        for _ in range(5)
    ]
    for number, trial in enumerate(copies):
        trial.number = number
    dead = create_trial(state=TrialState.FAIL, user_attrs={"reason": "killed"})
    assert (row_of(copies, 5, 6, space), is_blameless(dead)) == (1, True)
    with without(TAUGHT["points"]), without(TAUGHT["blameless"]):
        from search.genetic import design

        assert (design.row_of(copies, 5, 6, space), is_blameless(dead)) == (5, False)
    assert is_blameless(dead)


@pytest.mark.usefixtures("curves")
def test_our_sampler_is_told_conditions_and_lengths_unless_that_piece_is_taken_out() -> None:
    def of(name: str, where: str) -> Any:
        made = contenders.entry(name).make(problem(where), 0, 25)
        made.close()
        assert isinstance(made, OptunaContender)
        return made.sampler

    lengths, models = "lcbench-3945+lengths", "models-two+copies"
    assert of("genetic", lengths)._length == "length"
    assert of("genetic:without=shares", lengths)._length is None
    assert of("genetic", models)._space.stated
    assert of("genetic:without=conditions", models)._space is None
    assert of("genetic", "models-two")._space is None


def test_what_shows_in_situations_alone_is_not_left_out_elsewhere() -> None:
    done = CliRunner().invoke(main, ["ablation", "--pieces", "points"])
    assert done.exit_code == 1
    assert "points: shows in situations only; add --product" in done.output


def cell(sampler: str, name: str, observed: float, recommended: float, rule: str) -> Cell:
    """A run whose choices have these regrets."""
    this = problem(name)
    unit = this.best - this.typical
    scores = [this.best - regret * unit for regret in (observed, recommended)]
    return Cell(
        sampler, "v", False, name, "d", 0, 25, ((0, 0.0, scores[0]),), (0.1,), (0.1, 0.1),
        (scores[1],), rule,
    )  # fmt: skip


def test_the_report_has_kinds_of_problems_and_both_choices_by_todays_rule() -> None:
    rule = fingerprint("expectation", "finalists")
    copies, failures = "rastrigin-mixed+copies", "rastrigin-mixed+failures"
    cells = {
        "genetic": {(n, 0): cell("genetic", n, 0.2, 0.1, rule) for n in (copies, failures)},
        "tpe": {
            (copies, 0): cell("tpe", copies, 0.4, 0.4, rule),
            (failures, 0): cell("tpe", failures, 0.1, 0.4, "older"),
        },
    }
    kinds = compare.groups(cells, 25)
    assert list(kinds) == ["quiet", "copies", "failures"]
    assert kinds["copies"]["tpe"]["ratio"] == pytest.approx(0.5)
    assert kinds["failures"]["tpe"]["ratio"] == pytest.approx(2.0)
    found = compare.choices(cells, 25)
    assert found["genetic"]["over"]["ratio"] == pytest.approx(0.5)
    assert (found["tpe"]["over"]["cells"], found["tpe"]["observed"]) == (1, pytest.approx(0.4))
    assert found["tpe"]["ours"]["ratio"] == pytest.approx(0.25)
