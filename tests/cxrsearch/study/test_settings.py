from dataclasses import replace
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.study.folder import in_their_place
from cxrsearch.study.settings import Settings, confirmed_share


def test_everything_wrong_is_said_at_once() -> None:
    settings = Settings(
        test_share=1.5,
        population=0,
        sampler="genetik",
        objective="auroc,secnds",
        time_budget="soon",
    )
    with pytest.raises(InputError) as caught:
        settings.check()
    text = "\n".join(caught.value.problems)
    for part in (
        "--test-share 1.5",
        "--population 0",
        "did you mean 'genetic'",
        "'seconds'",
        "soon",
    ):
        assert part in text


def test_a_search_needs_a_budget() -> None:
    with pytest.raises(InputError, match="no budget"):
        Settings().check()


def test_generations_times_population_is_the_budget() -> None:
    assert Settings(generations=3, population=6).target_trials == 18
    assert Settings(trials=5, generations=3).target_trials == 5
    assert Settings(time_budget="1h").target_trials is None


def test_settings_survive_study_yaml_but_for_the_storage_url() -> None:
    settings = Settings(data="x", trials=4, storage="postgresql://me:secret@host/db")
    stored = settings.to_dict()
    assert "secret" not in str(stored)
    assert Settings.from_dict(stored) == Settings(data="x", trials=4)


def test_cores_and_gpus_are_numbers_or_auto_also_in_study_yaml() -> None:
    for given in (Settings(trials=1), Settings(trials=1, cpus_per_trial=2, gpus_per_trial=0.25)):
        given.check()
        assert Settings.from_dict(given.to_dict()) == given
    assert (Settings().cpus, Settings().gpus) == (1.0, 0.0)
    assert (given.cpus, given.gpus) == (2.0, 0.25)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(InputError, match="wings"):
        Settings.from_dict({"wings": 2})


def test_paths_become_absolute_and_the_phantom_stays(monkeypatch: pytest.MonkeyPatch,
                                                     tmp_path: Path) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert Settings(data="here").with_absolute_paths().data == str(tmp_path.resolve() / "here")
    assert Settings().with_absolute_paths().data == "phantom"


def test_trials_wait_for_nodes_only_where_a_cluster_may_bring_some() -> None:
    grows = Settings(trials=9, max_concurrent=8, address="auto")
    assert grows.problems() == []
    (alone,) = replace(grows, address=None).problems()
    assert alone.startswith("--max-concurrent 8: this machine does not grow")
    (both,) = replace(grows, concurrent=2).problems()
    assert both.startswith("--max-concurrent 8 with --concurrent 2")
    again = replace(grows, **in_their_place({"concurrent": 2}))
    assert (again.concurrent, again.max_concurrent) == (2, None), "what a resume gives counts"
    assert in_their_place({"runner": "serial"}) == {"runner": "serial"}


def test_odd_choices_are_refused_rather_than_ignored() -> None:
    for odd in (
        {"device": "gpu"},
        {"objective": "auroc:"},
        {"labels": "table.csv"},
        {"test_share": float("nan")},
        {"cpus_per_trial": "many"},
        {"gpus_per_trial": "all"},
    ):
        with pytest.raises(InputError, match=f"--{next(iter(odd)).replace('_', '-')}"):
            Settings(trials=1, **odd).check()  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [{"trials": "many"}, {"seed": None}, {"frame": True}])
def test_stored_settings_of_another_kind_are_refused(odd: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(odd))):
        Settings.from_dict(Settings(trials=4).to_dict() | odd)


@pytest.mark.parametrize(
    ("given", "share"),
    [
        ({"trials": 19}, 0.0),
        ({"trials": 20}, 0.2),
        ({"generations": 2, "population": 10}, 0.2),
        ({"time_budget": "1h"}, 0.2),
        ({"trials": 100, "objective": "auroc,seconds"}, 0.0),
        ({"trials": 100, "confirm": 0.0}, 0.0),
        ({"trials": 16, "confirm": 0.25}, 0.25),
    ],
)
def test_searches_of_twenty_trials_and_more_confirm_by_default(
    given: dict[str, object], share: float
) -> None:
    settings = Settings(**given)  # type: ignore[arg-type]
    settings.check()
    assert confirmed_share(settings) == share


def test_reruns_are_part_of_the_trials() -> None:
    settings = Settings(trials=100, confirm=0.2)
    assert (settings.target_trials, settings.search_trials, settings.reruns) == (100, 80, 20)
    stored = Settings.from_dict({"trials": 100})  # as an earlier version kept it
    assert (stored.search_trials, stored.reruns) == (100, 0)
    timed = Settings(time_budget="1h", confirm=0.2)
    assert (timed.search_trials, timed.reruns) == (None, None)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trials": 100, "confirm": 0.9}, "from 0.0 to 0.8"),
        ({"trials": 100, "confirm": -0.1}, "from 0.0 to 0.8"),
        ({"trials": 5, "confirm": 0.2}, "of 5 trials that is 1 to confirm by"),
        ({"trials": 50, "confirm": 0.2, "objective": "auroc,seconds"}, "no one best to confirm"),
    ],
)
def test_a_share_that_cannot_confirm_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Settings(**given).check()  # type: ignore[arg-type]
