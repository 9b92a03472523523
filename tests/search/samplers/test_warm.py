"""Starting a search from what earlier studies found."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.errors import StudyError
from search.genetic import lineage
from search.objective import Outcome
from search.prior import PRIOR, Prior, PriorPoint
from search.samplers.warm import (
    ENOUGH,
    EVERY,
    PER_STUDY,
    TRIED_BEFORE_JUDGED,
    PriorSource,
    learn,
    proposal,
)
from search.space import SearchSpace
from search.store.record import read_study
from search.study import Study, StudyConfig

SPACE: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["dense", "vgg"]),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "crop": IntDistribution(64, 256, step=64),
}


def trial(number: int, value: float | None, genes: dict[str, Any], **attrs: Any) -> FrozenTrial:
    ended = TrialState.COMPLETE if value is not None else TrialState.FAIL
    state = attrs.pop("state", ended)
    space = {n: _any(v) for n, v in genes.items()}
    made = create_trial(
        state=state, value=value, params=genes, distributions=space, user_attrs=attrs
    )
    made.number = number
    return made


def _any(value: Any) -> BaseDistribution:
    if isinstance(value, float):
        return FloatDistribution(-1e9, 1e9)
    return CategoricalDistribution([value])


def line(values: list[float], name: str = "old", lowest: float = 1e-4) -> PriorSource:
    """An earlier study of the gene lr only, one trial a value, at ever higher learning rates."""
    trials = [trial(n, v, {"lr": lowest * 1.02**n}) for n, v in enumerate(values)]
    return PriorSource(name, trials)


def test_values_are_matched_by_name_and_kind_and_fitted_into_the_new_ranges() -> None:
    source = PriorSource(
        "old", [trial(0, 1.0, {"lr": 0.5, "crop": 100.0, "model": "vgg", "depth": 3})]
    )
    assert learn([source], SPACE).points[0].params == {"lr": 1e-2, "crop": 128, "model": "vgg"}


@pytest.mark.parametrize(
    "params", [{"model": "resnet"}, {"model": 1}, {"lr": "high"}, {"lr": True}, {"other": 0.5}]
)
def test_what_does_not_fit_is_left_to_the_search(params: dict[str, Any]) -> None:
    prior = learn([PriorSource("old", [trial(0, 1.0, params)])], SPACE)
    assert prior.points == ()
    assert prior.studies[0].genes == ()


def test_a_value_that_the_earlier_study_fixed_is_taken_over_too() -> None:
    given = trial(0, 1.0, {"lr": 1e-3}, params={"model": "vgg", "lr": 1e-3})
    assert learn([PriorSource("old", [given])], SPACE).points[0].params == {
        "model": "vgg",
        "lr": 1e-3,
    }


@pytest.mark.parametrize("direction", list(StudyDirection)[1:])
def test_the_best_comes_first_and_failed_trials_never(direction: StudyDirection) -> None:
    sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
    trials = [
        trial(0, 0.2 * sign, {"lr": 1e-4}),
        trial(1, 0.9 * sign, {"lr": 1e-3}),
        trial(2, None, {"lr": 2e-3}),
    ]
    prior = learn([PriorSource("old", trials, direction)], SPACE)
    assert [point.trial for point in prior.points] == [1, 0]
    assert prior.studies[0].trials == 2


def test_points_lie_apart_and_come_from_the_top() -> None:
    prior = learn([line([n / 200 for n in range(200)])], SPACE)
    numbers = [point.trial for point in prior.points]
    assert numbers[:2] == [199, 180]  # the best tenth reaches down to 180
    assert len(numbers) == PER_STUDY == len(set(numbers))
    assert min(numbers) >= 180


def test_trials_that_are_alike_are_one_point() -> None:
    same = [trial(n, float(n), {"lr": 1e-3}) for n in range(20)]
    assert len(learn([PriorSource("old", same)], SPACE).points) == 1


def play(prior: Prior, worth: Any, trials: int = 60, start: int = 0) -> list[FrozenTrial]:
    """A search, ended trial by trial, of which ``worth(point or None)`` gives the values."""
    history: list[FrozenTrial] = []
    for number in range(trials):
        index = proposal(prior, history, number, start=start)
        attrs = {} if index is None else {PRIOR: prior.mark(index)}
        params = {"lr": 2e-3 + number * 1e-6} if index is None else dict(prior.points[index].params)
        point = None if index is None else prior.points[index]
        history.append(trial(number, worth(point), params, **attrs))
    return history


def repeats(history: list[FrozenTrial]) -> list[int]:
    return [t.number for t in history if PRIOR in t.user_attrs]


def test_points_that_are_no_better_than_the_searchs_own_trials_end_at_once() -> None:
    prior = learn([line([n / 100 for n in range(100)])], SPACE)
    assert (
        repeats(play(prior, lambda point: 0.0 if point else 1.0))
        == [0, EVERY][:TRIED_BEFORE_JUDGED]
    )


def test_good_points_go_on_but_never_take_more_than_their_share() -> None:
    rising = [n / 100 for n in range(100)]
    sources = [line(rising, "a"), line(rising, "b", lowest=1.01e-4)]
    prior = learn(sources, SPACE)
    used = repeats(play(prior, lambda point: 1.0 if point else 0.0, start=3))
    assert used == [3 + EVERY * k for k in range(ENOUGH)]


def test_a_failed_point_counts_as_worse_than_all() -> None:
    prior = learn([line([n / 100 for n in range(100)])], SPACE)
    assert len(repeats(play(prior, lambda point: None if point else 0.5))) == TRIED_BEFORE_JUDGED


def test_what_the_machine_ended_neither_judges_points_nor_is_judged() -> None:
    prior = learn([line([n / 100 for n in range(100)])], SPACE)
    killed = play(prior, lambda point: None if point else 0.5)
    for one in killed:
        one.user_attrs = {**one.user_attrs, "reason": "killed"} if one.value is None else {}
    points = [t for t in killed if PRIOR in t.user_attrs]
    assert proposal(prior, points, 4) is not None, "two points were killed, none was bad"
    own = [trial(n, None, {"lr": 2e-3 + n * 1e-6}, reason="killed") for n in (1, 3)]
    used = [t for t in play(prior, lambda point: 0.1 if point else 0.5, 4) if t.number % 2 == 0]
    unjudged = proposal(prior, [*used, *own], 4)
    assert unjudged is not None
    for one in own:
        one.user_attrs = {"reason": "crash"}
    assert proposal(prior, [*used, *own], 4) is not None, "better than what failed by itself"


def test_the_study_whose_points_do_best_is_drawn_from() -> None:
    good = PriorSource("good", [trial(n, float(n), {"lr": 1e-3 * 1.01**n}) for n in range(40)])
    bad = PriorSource("bad", [trial(n, float(n), {"lr": 1e-4 * 1.01**n}) for n in range(40)])
    prior = learn([bad, good], SPACE)

    def worth(point: PriorPoint | None) -> float:
        return 0.5 if point is None else float(prior.studies[point.study].name == "good")

    history = play(prior, worth)
    names = [t.user_attrs[PRIOR]["study"] for t in history if PRIOR in t.user_attrs]
    assert names[:2] == ["bad", "good"]
    assert names.count("good") == PER_STUDY
    assert "bad" not in names[2 : 1 + PER_STUDY]


def test_a_proposal_depends_on_finished_trials_and_lower_numbers_only() -> None:
    prior = learn([line([n / 100 for n in range(100)])], SPACE)
    history = play(prior, lambda point: 1.0 if point else 0.0, trials=8)
    later = trial(9, None, {"lr": 5e-3}, state=TrialState.RUNNING)
    assert proposal(prior, history, 8) == proposal(prior, [*history, later], 8) is not None


def test_what_was_tried_already_is_not_proposed() -> None:
    prior = learn([line([0.1, 0.2])], SPACE)
    best = trial(0, 0.5, {**prior.points[0].params, "model": "dense"})
    assert proposal(prior, [best], 2) == 1


LOST = {"studies": [], "points": [{"study": 0, "trial": 1, "params": {}}]}


@pytest.mark.parametrize("damage", [{}, LOST, {"studies": 3}])
def test_a_damaged_prior_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the prior cannot be read"):
        Prior.from_dict(damage)


# In a study of ours

NEW = {
    "name": "new",
    "genes": {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}},
    "points": [{"name": "by-hand", "params": {"x": 0.5, "y": 0.5}}],
}


def fill(folder: Path, trials: int, prior: Prior | None = None, sampler: str = "random") -> Study:
    genes = NEW if prior else {**NEW, "genes": {"x": {"low": 0.0, "high": 2.0}}, "points": []}
    space = SearchSpace.from_dict(genes, "s")
    study = Study.create(folder, space, StudyConfig(folder.name, sampler, 3, prior=prior))
    go_on(study, trials)
    return study


def go_on(study: Study, trials: int) -> None:
    for _ in range(trials):
        task = study.ask()
        study.tell(task.number, Outcome(-abs(task.params["x"] - 0.3)))


@pytest.fixture
def prior(tmp_path: Path) -> Prior:
    fill(tmp_path / "old", 30).close()
    old = read_study(tmp_path / "old")
    found = learn([PriorSource("old", old.trials)], SearchSpace.from_dict(NEW, "s").distributions())
    shutil.rmtree(tmp_path / "old")  # what follows needs it no more
    return found


@pytest.mark.parametrize("sampler", ["random", "genetic", "tpe"])
def test_every_sampler_starts_from_the_earlier_study(
    tmp_path: Path, prior: Prior, sampler: str
) -> None:
    with fill(tmp_path / "new", 16, prior, sampler) as study:
        trials = study.trials()
    first = trials[1]  # after the known-good point
    assert first.params["x"] == prior.points[0].params["x"]
    assert 0.0 <= first.params["y"] <= 1.0
    assert first.user_attrs[PRIOR] == prior.mark(0)
    assert first.user_attrs[PRIOR]["study"] == "old"
    repeated = [t for t in trials if PRIOR in t.user_attrs]
    records = [lineage.record(t, {t.number: t for t in trials}) for t in repeated]
    assert {(record.operator, record.parents) for record in records} == {("prior", ())}
    assert PRIOR not in trials[0].user_attrs
    assert PRIOR not in trials[2].user_attrs


def test_a_resumed_study_goes_on_exactly_without_the_earlier_one(
    tmp_path: Path, prior: Prior
) -> None:
    with fill(tmp_path / "whole", 12, prior, "genetic") as study:
        whole = study.trials()
    fill(tmp_path / "cut", 4, prior, "genetic").close()
    with Study.open(tmp_path / "cut") as study:
        assert study.config.prior == prior
        go_on(study, 8)
        cut = study.trials()
    assert [t.params for t in cut] == [t.params for t in whole]
    assert [t.user_attrs.get(PRIOR) for t in cut] == [t.user_attrs.get(PRIOR) for t in whole]


def test_a_study_with_a_damaged_prior_says_so() -> None:
    plain = {**StudyConfig("s", "random", 1).to_dict(), "prior": {"studies": 1}}
    with pytest.raises(StudyError, match="the prior cannot be read"):
        StudyConfig.from_dict(plain)


def test_a_fingerprint_names_the_trials() -> None:
    values = [0.1, 0.2, 0.3]
    assert line(values).fingerprint == line(values, "renamed").fingerprint
    assert line(values).fingerprint != line([0.1, 0.2, 0.31]).fingerprint
