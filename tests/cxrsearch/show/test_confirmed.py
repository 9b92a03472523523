"""What reruns of finalists say, in figures, in status, and in words."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show import chosen as module
from cxrsearch.show import status as status_module
from cxrsearch.show.chosen import CHOSEN, choice_of
from cxrsearch.show.compare import compare_views, lines
from cxrsearch.show.export import csv_text
from cxrsearch.show.notes import headline
from cxrsearch.show.status import advice, status_of, status_text
from cxrsearch.show.view import Look
from search.confirm.reruns import reruns
from search.confirm.result import Confirmed, confirmed

LEVELS = {0: 0.70, 1: 0.78, 2: 0.72}
"""Three finalists that differ clearly; the first is a known-good point."""


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Nothing is held from another test."""
    module._memory.clear()


def confirmation(
    make: SimpleNamespace, rounds: int = 3, levels: dict[int, float] = LEVELS, **given: Any
) -> Any:
    """A view of three trials and their reruns on ``rounds`` splits, without files."""
    attrs = {"point": given.pop("point", "report")}
    seconds, fall = given.pop("seconds", {}), given.pop("fall", 0.005)
    trials = [
        make.trial(n, value=0.8, attrs={"best_epoch": 2, "seconds": seconds.get(n, 60.0)}
                   | (attrs if n == 0 else {}))
        for n in range(3)
    ]  # fmt: skip
    for place in range(rounds):
        for finalist, level in levels.items():
            value = level + 0.001 * (place - 1) + 0.0005 * ((place * 7 + finalist * 3) % 5)
            curve = {1: value - 0.01, 2: value, 3: value - fall}
            seen = {"seconds": seconds.get(finalist, 60.0), "images_seen": 100}
            trials.append(make.rerun(len(trials), finalist, place, curve, value=value, attrs=seen))
    planned = given.pop("planned", len(trials) - 3)
    trials += given.pop("more", [])
    plan = make.finalists(given.pop("finalists", [1, 2, 0]), planned, given.pop("after", 3))
    return make.view(trials, attrs=plan, **given)


def test_the_confirmed_winner_is_recommended_with_its_value(make: SimpleNamespace) -> None:
    view = confirmation(make)
    record = json.loads(json.dumps(status_of(view)))
    expected = confirmed([1, 2, 0], reruns(view.record.trials))
    assert expected is not None
    assert (record["recommended"], record["steps"]) == (1, 2)
    assert record["best"]["number"] == 0
    assert record["best"]["confirmed"] == pytest.approx(expected.value)
    assert record["best"]["confirmed_interval"] == pytest.approx([expected.low, expected.high])
    found = record["confirmation"]
    assert found["finalists"] == [1, 2, 0]
    assert found["reruns"] == {"done": 9, "failed": 0, "running": 0, "planned": 9}
    assert (found["over"], found["winner"], found["step"], found["alike"]) == (True, 1, 2, [])
    assert set(found["differences"]) == {"0", "2"}
    assert (record["searched"], record["trials"]["reruns"]) == (3, 9)
    assert "trials: 3 (3 complete) and 9 of 9 reruns; " in status_text(record)
    assert sum(n for name, n in record["trials"].items() if name != "total") == 12


def test_an_interval_of_few_reruns_ends_where_an_auroc_does(make: SimpleNamespace) -> None:
    view = confirmation(make, levels={1: 0.997, 2: 0.5, 0: 0.5}, rounds=2, fall=0.0)
    plain = confirmed([1, 2, 0], reruns(view.record.trials))
    assert plain is not None
    assert plain.high is not None
    assert plain.high > 1.0, "the test does not test anything"
    assert choice_of(view).confirmed_interval == (pytest.approx(plain.low), 1.0)


def test_a_look_at_the_confirmed_winner_is_told_though_another_was_seen_best(
    make: SimpleNamespace,
) -> None:
    look = Look("", "model", 1, 0.71, (0.66, 0.76), {}, {})
    view = replace(confirmation(make), looks=(look,))
    record = status_of(view)
    assert record["best"]["test"] is None
    assert record["recommended_test"] == {"mean": 0.71, "interval": [0.66, 0.76], "looks": 1}
    assert "test: mean AUROC 0.7100 (0.660 to 0.760) (trial 1)" in status_text(record)
    facts = {fact.label: fact.value for fact in headline(view, 0.0)}
    assert facts["AUROC of trial 1, test"] == "0.710"


def test_reruns_are_no_candidates_of_the_search(make: SimpleNamespace) -> None:
    view = confirmation(make, levels={0: 0.95, 1: 0.9, 2: 0.9})
    record = status_of(view)
    assert (record["best"]["number"], record["best"]["selected_from"]) == (0, 3)
    assert [row.number for row in view.rows] == [0, 1, 2]
    assert len(view.every_row) == 12


def test_the_verdict_names_the_known_good_point_and_by_how_much_it_is_beaten(
    make: SimpleNamespace,
) -> None:
    view = confirmation(make)
    found = choice_of(view)
    assert found.result is not None
    gap, low, high = found.result.differences[0]
    value, ends = found.confirmed, found.confirmed_interval
    assert value is not None
    assert ends is not None
    assert found.confirmation == (
        f"Confirmed: trial 1, trained for 2 epochs: {value:.3f} ({ends[0]:.3f} to {ends[1]:.3f}) "
        "on new patients, from 9 reruns of 3 finalists on fresh seeds and splits; chosen on all "
        "splits but one and scored on that one.",
        f"It is better than report (trial 0) by {gap:.3f} ({low:.3f} to {high:.3f}).",
        "It is better than every other finalist by more than luck explains.",
    )
    assert "It is better than report" in status_text(status_of(view))


def test_where_nothing_beats_the_known_good_point_that_is_said(make: SimpleNamespace) -> None:
    found = choice_of(confirmation(make, levels={0: 0.8, 1: 0.7, 2: 0.7}))
    assert found.recommended == 0
    assert (
        found.confirmation[1] == "No recipe that was found is better than report, a known-good one."
    )


def _told(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, alike: Any, **given: Any) -> str:
    """The last sentence where the winner 1 cannot be told from ``alike``."""
    result = Confirmed(1, 2, 0.7, 0.6, 0.8, 3, tuple(alike), {0: (0.01, -0.01, 0.03)})
    monkeypatch.setattr(module, "result_of", lambda view: result)
    module._memory.clear()
    return choice_of(confirmation(make, **given)).confirmation[-1]


def test_the_cheapest_of_those_that_cannot_be_told_apart_is_named(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(alike: list[int], **given: Any) -> str:
        return _told(make, monkeypatch, alike, **given)

    third = {0: 60.0, 1: 60.0, 2: 20.0}
    assert told([2], seconds=third) == (
        "It cannot be told from trial 2, which trains in a third of the time."
    )
    assert told([2], seconds={**third, 2: 30.0}).endswith("which trains in half the time.")
    assert told([2], seconds={**third, 2: 26.0}).endswith("which trains in 43% of the time.")
    assert told([2], seconds={**third, 2: 58.0}) == (
        "It cannot be told from trial 2, which does not train much faster."
    )
    assert told([2, 0], point="", seconds=third) == (
        "It cannot be told from trials 2 and 0; trial 2 trains in a third of the time."
    )
    assert told([0], seconds=third) == (
        "It cannot be told from report (trial 0): the difference is +0.010 (-0.010 to +0.030)."
    )
    assert told([0], seconds={**third, 0: 15.0}) == (
        "Of those, report (trial 0) trains in a quarter of the time."
    )
    assert told([2, 0], seconds={**third, 0: 15.0, 2: 60.0}) == (
        "Of those, report (trial 0) trains in a quarter of the time."
    )
    assert told([2], seconds={0: 0.0, 1: 0.0, 2: 0.0}).endswith("much faster.")


def test_the_winner_is_not_said_to_beat_who_never_ran(make: SimpleNamespace) -> None:
    levels = {0: 0.70, 1: 0.78}
    said = choice_of(confirmation(make, levels=levels)).confirmation
    assert not any("every other finalist" in sentence for sentence in said)


def test_while_the_confirmation_runs_nothing_is_confirmed_but_what_is_known_is_said(
    make: SimpleNamespace,
) -> None:
    more = [make.rerun(9, 1, 2, state="running")]
    view = confirmation(make, rounds=2, planned=9, more=more, alive=True)
    record = status_of(view)
    assert (record["best"]["confirmed"], record["best"]["confirmed_interval"]) == (None, None)
    found = record["confirmation"]
    assert found["reruns"] == {"done": 6, "failed": 0, "running": 1, "planned": 9}
    assert (found["over"], found["winner"], record["recommended"]) == (False, 1, 1)
    assert found["value"] == pytest.approx(0.78, abs=0.01)
    assert found["sentences"][0] == (
        "Confirming: 6 of 9 reruns of 3 finalists have ended; its figures may still change."
    )
    assert found["sentences"][1].startswith("So far the reruns speak for trial 1, trained for 2")
    assert record["trials"]["running"] == 1


def test_one_split_alone_recommends_nobody(make: SimpleNamespace) -> None:
    view = confirmation(make, rounds=1, planned=9, alive=True)
    record = status_of(view)
    assert (record["confirmation"]["winner"], record["recommended"]) == (1, 0)
    assert record["confirmation"]["value"] is None
    assert "one split alone says nothing of its worth" in record["confirmation"]["sentences"][1]


def test_a_confirmation_that_was_cut_off_counts_as_far_as_it_came(make: SimpleNamespace) -> None:
    view = confirmation(make, rounds=2, planned=9)
    record = status_of(view)
    assert record["best"]["confirmed"] == pytest.approx(0.78, abs=0.01)
    assert record["confirmation"]["sentences"][0] == (
        "The confirmation was cut off after 6 of 9 reruns of 3 finalists."
    )


def test_a_search_that_went_on_after_its_confirmation_says_so(make: SimpleNamespace) -> None:
    said = choice_of(confirmation(make, after=1)).confirmation
    assert said[0] == "The search has gone on since the finalists were chosen, by 2 trials."


def test_reruns_of_earlier_finalists_do_not_count(make: SimpleNamespace) -> None:
    record = status_of(confirmation(make, finalists=[1, 2]))
    assert record["confirmation"]["reruns"]["done"] == 6
    assert set(record["confirmation"]["differences"]) == {"2"}


@pytest.mark.parametrize("attr", [None, [], {"numbers": "x"}, {"numbers": [99], "reruns": "many"}])
def test_what_is_no_list_of_finalists_confirms_nothing(make: SimpleNamespace, attr: Any) -> None:
    trials = [make.trial(0), make.rerun(1, 0, 0, {1: 0.6})]
    record = status_of(make.view(trials, attrs={"finalists": attr}))
    assert record["best"]["confirmed"] is None
    assert record["recommended"] == 0
    assert status_text(record)


def test_the_result_of_reruns_is_kept_until_one_of_them_changes(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []
    real = module.result_of

    def counting(view: Any) -> Any:
        times.append(1)
        return real(view)

    monkeypatch.setattr(module, "result_of", counting)
    first = choice_of(confirmation(make, folder=tmp_path))
    module._memory.clear()
    assert choice_of(confirmation(make, folder=tmp_path)) == first
    assert len(times) == 1
    assert json.loads((tmp_path / CHOSEN).read_text())["result"]["result"]["number"] == 1
    choice_of(confirmation(make, rounds=2, folder=tmp_path))
    assert len(times) == 2


def test_patients_count_where_predictions_of_reruns_were_kept(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path, images=200)
    trials = [files.trial(n, strength=0.4 + n) for n in range(2)]
    for place in range(3):
        for finalist in range(2):
            number, strength = len(trials), 0.4 + finalist
            trials.append(
                files.trial(number, strength=strength, finalist=finalist, round=place)
            )  # fmt: skip
    view = make.view(trials, folder=tmp_path, attrs=make.finalists([1, 0], 6))
    with_patients = choice_of(view).result
    without = confirmed([1, 0], reruns(trials))
    assert with_patients is not None
    assert without is not None
    assert with_patients.number == without.number == 1
    assert with_patients.value == pytest.approx(without.value)
    assert with_patients.low != pytest.approx(without.low)


def test_reruns_are_lines_of_the_csv_that_say_what_they_confirm(make: SimpleNamespace) -> None:
    view = confirmation(make, rounds=1)
    found = list(csv.DictReader(io.StringIO(csv_text(view.every_row))))
    assert len(found) == 6
    assert [(line["confirms"], line["round"]) for line in found[2:5]] == [
        ("", ""), ("0", "0"), ("1", "0")
    ]  # fmt: skip


def test_a_comparison_has_a_line_each_for_corrected_and_confirmed(make: SimpleNamespace) -> None:
    views = [confirmation(make, name="a"), make.view([], name="b")]
    cells = dict(lines(compare_views(views)))
    assert cells["confirmed by reruns"][0].startswith("0.78")
    assert cells["confirmed by reruns"][1] == "–"
    assert cells["  corrected for luck"] == ["–", "–"]
    assert cells["recommended trial"] == ["1", "–"]
    assert "9 reruns" in cells["trials"][0]


def test_what_is_next_after_a_search_is_to_confirm_it_or_to_train(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, folder = "next: cxrsearch train s --out MODEL_DIR", Path("s")

    def told(view: Any) -> str:
        monkeypatch.setattr(status_module, "read_view", lambda *_, **__: view)
        return advice(folder)

    many = [make.trial(n) for n in range(20)]
    assert told(make.view(many[:19])) == train
    confirm = "\n   or first reruns of the finalists: cxrsearch confirm s"
    assert told(make.view(many)) == train + confirm
    assert told(confirmation(make)) == train
    assert told(confirmation(make, planned=12)) == (
        f"{train}\n   or first the rest of the reruns: cxrsearch resume s"
    )
    monkeypatch.setattr(status_module, "kept_weights", lambda view: 2)
    together = "or its best trials together, at once: cxrsearch train s --ensemble 5 --out TEAM_DIR"
    assert told(make.view(many)) == f"{train}\n   {together}{confirm}"
    monkeypatch.setattr(status_module, "kept_weights", lambda view: 1)
    assert told(make.view(many)) == train + confirm


def test_trials_that_kept_their_weights_are_counted(make: SimpleNamespace, tmp_path: Path) -> None:
    view = make.view([make.trial(n) for n in range(3)])
    view = replace(view, record=SimpleNamespace(**{**vars(view.record), "folder": tmp_path}))
    assert status_module.kept_weights(view) == 0
    for number in (0, 2, 7):
        folder = tmp_path / "trials" / str(number)
        folder.mkdir(parents=True)
        (folder / "best.safetensors").write_bytes(b"")
    assert status_module.kept_weights(view) == 2
