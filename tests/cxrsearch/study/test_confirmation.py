"""The last share of a budget: reruns of the finalists, whatever cuts them off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.trial import create_trial

from cxrsearch.errors import InputError
from cxrsearch.model.card import read_card
from cxrsearch.model.promise import promised_in
from cxrsearch.show.status import status, status_text
from cxrsearch.show.view import CONFIRM
from cxrsearch.study.confirmation import ConfirmPlan
from cxrsearch.study.experiment import confirm, extend, resume, search
from cxrsearch.study.progress import Progress
from cxrsearch.study.settings import Settings
from cxrsearch.study.winner import chosen_trial, train_winner, winner_of
from search.confirm.reruns import finalists_of, reruns
from search.store.record import StudyRecord, read_study
from search.study import Study

pytestmark = pytest.mark.usefixtures("tiny_model_throughout")

Ask = Callable[..., Settings]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def asked(xrays: Path, tiny_space: Path) -> Ask:
    """Settings of a small search, half of which confirms."""

    def make(**other: Any) -> Settings:
        given = {"trials": 8, "confirm": 0.5, "population": 2, "seed": 1, **other}
        return Settings(data=str(xrays), space=str(tiny_space), runner="serial", **given)

    return make


@pytest.fixture(scope="module")
def confirmed(
    asked: Ask, tiny_model_throughout: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A study of four trials and four reruns. Read only."""
    return search(asked(), tmp_path_factory.mktemp("confirmed") / "study")


@pytest.fixture
def copied(confirmed: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(confirmed, tmp_path / "study"))


def history(folder: Path) -> list[tuple[Any, ...]]:
    """What trials came to, reruns too."""
    marks = ("confirms", "round", "seed", "split")
    return [
        (t.params, t.values, t.intermediate_values, *(t.user_attrs.get(m) for m in marks))
        for t in read_study(folder).trials
    ]


def counts(folder: Path) -> tuple[int, int]:
    """Trials that searched, and reruns."""
    record = read_study(folder)
    return len(record.searched), len(reruns(record.trials))


def test_the_last_share_of_the_trials_confirms_the_finalists(confirmed: Path) -> None:
    record = read_study(confirmed)
    done = reruns(record.trials)
    assert counts(confirmed) == (4, 4)
    assert {one.finalist for one in done} <= set(finalists_of(record.attrs))
    stands = status(confirmed)
    assert (stands["target_trials"], stands["trials"]["total"]) == (8, 8)
    assert "trials: 4 of 4 (" in status_text(stands)
    assert "4 of 4 reruns" in status_text(stands)
    assert record.config.n_trials == 4
    assert record.best() in record.searched
    own = {t.user_attrs["split"] for t in record.searched}
    fresh = {record.trials[one.number].user_attrs["split"] for one in done}
    assert len(own) == 1
    assert not own & fresh
    kept = [int(path.parent.name) for path in confirmed.glob("trials/*/best.safetensors")]
    assert len(kept) == 4
    assert not set(kept) & {one.number for one in done}


def test_a_search_cut_off_while_it_confirms_goes_on_to_the_same_end(
    asked: Ask, confirmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_at_the_second_rerun(self: Progress, event: Any) -> None:
        if event.kind == "start" and event.number == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", stop_at_the_second_rerun)
        with pytest.raises(KeyboardInterrupt):
            search(asked(), folder)
    assert read_study(folder).counts()["interrupted"] == 1
    resume(folder)
    assert history(folder) == history(confirmed)
    said: list[str] = []
    resume(folder, on_note=said.append)
    assert len(said) == 1
    assert "all 4 trials and 4 reruns are done" in said[0]


def test_the_search_is_the_same_with_and_without_a_confirmation(
    asked: Ask, confirmed: Path, tmp_path: Path
) -> None:
    plain = search(asked(trials=4, confirm=0.0), tmp_path / "plain")
    assert history(plain) == history(confirmed)[:4]
    assert ConfirmPlan.read(read_study(plain).attrs) is None


def test_what_is_added_is_split_by_the_same_share(copied: Path) -> None:
    extend(copied, 4)
    searched, done = counts(copied)
    record = read_study(copied)
    assert searched == 6
    assert 6 <= done <= 10  # there may be other finalists by then
    assert record.attrs["target_trials"] == 12
    assert record.attrs[CONFIRM]["reruns"] == 6
    assert record.attrs[CONFIRM]["after"] == 6


def test_a_search_that_time_has_cut_short_has_fewer_reruns() -> None:
    plan = ConfirmPlan(0.2, reruns=20, after=80)
    trials = [create_trial(value=0.5) for _ in range(100)]
    assert [plan.total(trials[:count]) for count in (100, 80, 41, 1)] == [20, 20, 11, 1]
    more = plan.longer(50, trials[:80], 0.0, None)
    assert more == ConfirmPlan(0.2, reruns=30, after=120, renewed=80)
    timed = ConfirmPlan(0.2, search_seconds=80.0)
    assert timed.total(trials[:40]) == 10
    assert timed.longer(0, trials[:40], 100.0, 200.0).search_seconds == 180.0
    more = timed.longer(50, trials[:40], 100.0, None)
    assert (more.after, more.reruns, more.search_seconds) == (80, 20, None)


def test_a_study_without_a_plan_goes_on_as_before(finished_study: Path, tmp_path: Path) -> None:
    """As one of an earlier version, whose study.yaml says nothing of it."""
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    record = yaml.safe_load((folder / "study.yaml").read_text())
    del record["settings"]["confirm"]
    (folder / "study.yaml").write_text(yaml.safe_dump(record))
    extend(folder, 2)
    assert counts(folder) == (5, 0)


def test_a_finished_study_is_confirmed_later_and_by_more(
    finished_study: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    said: list[str] = []
    confirm(folder, top=2, repeats=2, on_note=said.append)
    assert counts(folder) == (3, 4)
    assert read_study(folder).attrs["target_trials"] == 7
    assert not said
    confirm(folder, top=2, repeats=2, on_note=said.append)
    assert "4 reruns are done, as many as asked for" in said[0]
    confirm(folder, repeats=3)
    assert counts(folder) == (3, 6)
    said.clear()
    confirm(folder, top=9, repeats=2, on_note=said.append)
    assert "3 of its trials are complete" in said[0]
    assert {one.finalist for one in reruns(read_study(folder).trials)} <= set(
        finalists_of(read_study(folder).attrs)
    )


def test_a_confirmation_that_was_asked_for_is_resumed_before_the_search(
    asked: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[tuple[str, int]] = []

    def stop(at: int) -> Callable[[Progress, Any], None]:
        def told(self: Progress, event: Any) -> None:
            kinds.append((event.kind, event.number))
            if kinds[-1] == ("start", at):
                raise KeyboardInterrupt

        return told

    folder = tmp_path / "study"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", stop(3))
        with pytest.raises(KeyboardInterrupt):
            search(asked(trials=5, confirm=0.0), folder)
        patch.setattr(Progress, "__call__", stop(5))
        with pytest.raises(KeyboardInterrupt):
            confirm(folder, top=1, repeats=2)
        kinds.clear()
        patch.setattr(Progress, "__call__", stop(-1))
        resume(folder)
    begun = [number for kind, number in kinds if kind in ("start", "retry")]
    assert begun == [5, 3, 6]
    assert counts(folder) == (5, 2)
    said: list[str] = []
    resume(folder, on_note=said.append)
    assert "all 5 trials and 2 reruns are done" in said[0]


def test_time_is_shared_as_trials_are(
    asked: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is the number of steps, so that the test takes no time of its own."""
    steps = [0.0]
    monkeypatch.setattr("search.budget.time.monotonic", lambda: steps[0])

    def tick(self: Progress, event: Any) -> None:
        steps[0] += event.kind == "step"

    monkeypatch.setattr(Progress, "__call__", tick)
    monkeypatch.setattr("search.budget.Clock.__init__.__defaults__", (lambda: steps[0],))
    folder = search(asked(trials=None, time_budget="5s", confirm=0.4), tmp_path / "timed")
    assert counts(folder) == (3, 2)
    by_default = asked(trials=None, time_budget="5s", confirm=None)
    folder = search(by_default, tmp_path / "few")
    searched, done = counts(folder)
    assert searched >= 5
    assert not done
    monkeypatch.setattr("cxrsearch.study.prepare.CONFIRMED_TIMED", 3)
    folder = search(by_default, tmp_path / "enough")
    searched, done = counts(folder)
    assert searched < 5
    assert done


def test_everything_that_speaks_against_a_confirmation_is_said_at_once(
    asked: Ask, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    settings = asked(trials=2, confirm=None, objective="auroc,seconds")
    search(settings, folder)
    assert settings.confirm is None  # of several objectives none by default
    with Study.open(folder), pytest.raises(InputError) as caught:
        confirm(folder, top=0, repeats=1)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for part in ("--top 0", "--repeats 1", "a search is running there", "several objectives"):
        assert part in text


def test_a_study_without_a_complete_trial_has_nothing_to_confirm(
    asked: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Progress, event: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            search(asked(), tmp_path / "study")
    with pytest.raises(InputError, match="no trial is complete yet"):
        confirm(tmp_path / "study")


def test_train_takes_what_was_confirmed_and_the_card_says_what_it_is_worth(
    confirmed: Path, tmp_path: Path, run: Run
) -> None:
    record = read_study(confirmed)
    winner = winner_of(record)
    assert winner.trial.number in finalists_of(record.attrs)
    assert winner.selected_from == 4
    model = tmp_path / "model"
    code, out, _ = run("train", confirmed, "--out", model)
    assert code == 0
    assert f"training trial {winner.trial.number} on train + validation" in out
    assert all(sentence in out for sentence in winner.reasons)
    card = read_card(model / "model.json")
    said = card["validation"]
    assert card["training"]["epochs"] == winner.epochs
    assert said["reruns"] == 4
    assert said["finalists"] == list(finalists_of(record.attrs))
    assert said["sentences"] == list(winner.reasons)
    promised = promised_in(card)
    assert promised["observed"] == winner.trial.values[0]
    assert promised["trial"] == winner.trial.number
    code, out, _ = run("evaluate", model)
    assert code == 0
    for name in ("promised by validation", "observed", "corrected", "confirmed", "test"):
        assert name in out


def test_a_rerun_stands_for_the_trial_that_it_confirms(confirmed: Path) -> None:
    record: StudyRecord = read_study(confirmed)
    for one in reruns(record.trials):
        assert chosen_trial(record, one.number).number == one.finalist


def test_a_named_trial_is_trained_as_its_own_search_left_it(
    confirmed: Path, tmp_path: Path
) -> None:
    winner = winner_of(read_study(confirmed), 0)
    assert (winner.trial.number, winner.epochs, winner.selected_from) == (0, 1, 1)
    list(train_winner(confirmed, tmp_path / "model", 0))
    said = read_card(tmp_path / "model" / "model.json")["validation"]
    assert "corrected" not in said
