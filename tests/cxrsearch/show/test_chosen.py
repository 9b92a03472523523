"""What is said of a study's winner: corrected, confirmed, recommended, and kept in the folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.splits import Splits
from cxrsearch.learn.saved.arrays import load_arrays, load_labels, save_labels
from cxrsearch.learn.saved.epoch_scores import HalfLogits, read_epoch_scores, save_epoch_scores
from cxrsearch.show import chosen as module
from cxrsearch.show.chosen import CHOSEN, choice_of
from cxrsearch.show.status import status_of, status_text
from cxrsearch.show.worth import luck as luck_module
from cxrsearch.show.worth.confirmation import parts_of, share_judged
from search.confirm.reruns import Rerun
from search.optimism import corrected


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Nothing is held from another test."""
    module._memory.clear()


def test_the_best_is_corrected_for_all_epochs_of_all_trials(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0), files.trial(1), files.trial(2, "pruned", 2), files.trial(3, "failed")]
    found = choice_of(make.view(trials, folder=tmp_path))
    known = load_labels(tmp_path / "labels.npz")
    each = [read_epoch_scores(tmp_path / "trials" / str(n)) for n in range(3)]
    scores = np.concatenate([one.scores for one in each if one is not None])
    assert len(scores) == 8
    expected = corrected(scores, known.labels, known.patients)
    assert found.observed == max(t.value for t in trials[:2])
    best = int(np.argmax([t.value for t in trials[:2]]))
    away = found.observed - expected.naive
    assert (found.best, found.luck.trials, found.luck.of, found.luck.epochs) == (best, 3, 3, True)
    assert found.corrected == pytest.approx(expected.corrected + away, abs=0.002)
    assert found.corrected < found.observed
    low, high = found.corrected_interval or (0.0, 0.0)
    assert low < found.corrected < high
    assert found.selection == (
        f"{found.observed:.3f} observed, chosen from 3 trials (2 trained to the end) and their "
        f"epochs; about {found.corrected:.3f} ({low:.3f} to {high:.3f}) on new patients.",
    )


def test_the_objectives_labels_alone_count(make: SimpleNamespace, tmp_path: Path) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0), files.trial(1)]
    settings = {"settings": {"objective": "auroc:edema"}}
    found = choice_of(make.view(trials, folder=tmp_path, settings=settings))
    known = load_labels(tmp_path / "labels.npz")
    each = [read_epoch_scores(tmp_path / "trials" / str(n)) for n in range(2)]
    scores = np.concatenate([one.scores[:, :, 1:] for one in each if one is not None])
    expected = corrected(scores, known.labels[:, 1:], known.patients)
    luck = expected.naive - expected.corrected
    assert found.observed is not None
    assert found.corrected == pytest.approx(found.observed - luck)


def test_on_a_larger_validation_part_the_choice_of_epochs_is_left_out_and_said(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path, subset=40)
    trials = [files.trial(0), files.trial(1), files.trial(2, "pruned")]
    found = choice_of(make.view(trials, folder=tmp_path))
    ends = [load_arrays(tmp_path / "trials" / str(n) / "val.npz", ["scores"]) for n in range(2)]
    known = load_labels(tmp_path / "labels.npz")
    expected = corrected(
        np.stack([end["scores"] for end in ends]), known.labels, known.patients
    )  # fmt: skip
    assert found.corrected == pytest.approx(expected.corrected, abs=0.002)
    assert (found.luck.epochs, found.luck.of) == (False, 2)
    assert found.selection[1:] == (
        "The choice of epochs is not corrected for: they were chosen on 40 of the 80 validation "
        "images, trials on all of them.",
    )
    assert "chosen from 2 trials trained to the end; about" in found.selection[0]


def test_a_study_of_the_version_before_is_corrected_by_its_trials_ends(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0), files.trial(1), files.trial(2, "pruned")]
    for number in range(3):
        (tmp_path / "trials" / str(number) / "epochs.npz").unlink()
    found = choice_of(make.view(trials, folder=tmp_path))
    assert found.corrected is not None
    assert found.selection[1:] == (
        "The choice of epochs is not corrected for: the predictions of single epochs were not "
        "kept.",
    )


def test_what_is_there_is_used_and_what_is_missing_said(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0, strength=1.0), *(files.trial(n, "pruned") for n in (1, 2, 3))]
    shutil.rmtree(tmp_path / "trials" / "3")
    (tmp_path / "trials" / "2" / "epochs.npz").write_bytes(b"damaged")
    found = choice_of(make.view(trials, folder=tmp_path))
    assert found.corrected is not None
    assert found.selection[1] == (
        "That is from the predictions of 2 of 4 trials; those of the others were not kept, so "
        "some luck may be left in it."
    )


def test_without_the_bests_predictions_there_is_no_correction_but_a_reason(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0, strength=1.0), files.trial(1)]
    shutil.rmtree(tmp_path / "trials" / "0")
    view = make.view(trials, folder=tmp_path)
    best = status_of(view)["best"]
    assert (best["corrected"], best["corrected_interval"]) == (None, None)
    assert best["corrected_from"]["reason"] == "the predictions of trial 0, the best, are not there"
    assert (
        "chosen from 2 trials (2 trained to the end) and their epochs; the luck in that is not "
        "corrected for: the predictions of trial 0, the best, are not there." in status_text(
            status_of(view)
        )
    )  # fmt: skip


def test_status_has_the_keys_that_scripts_rely_on(make: SimpleNamespace, any_trials: Any) -> None:
    record = json.loads(json.dumps(status_of(make.view(any_trials), now=1.8e9)))
    best = record["best"]
    assert set(best) >= {"corrected", "corrected_interval", "confirmed", "confirmed_interval"}
    assert (best["confirmed"], best["confirmed_interval"]) == (None, None)
    assert record["confirmation"] is None
    assert (record["recommended"] is None) == (best["number"] is None)
    assert sum(n for name, n in record["trials"].items() if name != "total") == len(any_trials)


def _kept(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / CHOSEN).read_text())
    return found


class Counted:
    """Counts corrections."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        real = luck_module._luck

        def counting(*given: Any) -> Any:
            self.times += 1
            return real(*given)

        monkeypatch.setattr(luck_module, "_luck", counting)


def test_the_correction_is_kept_in_the_folder_until_a_trial_or_file_changes(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, counted = make.files(tmp_path), Counted(monkeypatch)
    trials = [files.trial(0), files.trial(1)]
    first = choice_of(make.view(trials, folder=tmp_path))
    module._memory.clear()
    assert choice_of(make.view(trials, folder=tmp_path)) == first
    assert counted.times == 1
    again = choice_of(make.view([*trials, files.trial(2)], folder=tmp_path))
    assert (counted.times, again.luck.of) == (2, 3)
    (tmp_path / "trials" / "2" / "epochs.npz").unlink()
    choice_of(make.view([*trials, make.trial(2, value=0.5)], folder=tmp_path))
    assert counted.times == 3


def test_what_a_rerun_predicts_is_read_once(make: SimpleNamespace, tmp_path: Path) -> None:
    make.files(tmp_path).trial(0)
    parts = parts_of(tmp_path, "auroc")
    assert parts is not None
    found = parts(Rerun(0, 5, 0, 0.7), None)
    assert found is not None
    shutil.rmtree(tmp_path / "trials" / "0")
    assert parts(Rerun(0, 5, 0, 0.7), None) is found
    assert parts(Rerun(1, 5, 1, 0.7), None) is None


def test_the_share_that_judges_is_that_of_the_parts_even_where_these_were_given(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view = make.view([make.trial(0)], folder=tmp_path, settings={"settings": {"val_share": 0.3}})
    assert share_judged(view) == 0.3
    Splits(("a", "b", "c"), ("d",), (), ("d",), seed=0).save(tmp_path / "splits.json")
    assert share_judged(view) == 0.25


def test_while_a_search_runs_a_correction_of_a_few_trials_ago_is_used_and_its_age_said(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, counted = make.files(tmp_path), Counted(monkeypatch)
    trials = [files.trial(0, strength=1.5), files.trial(1)]
    choice_of(make.view(trials, folder=tmp_path, alive=True))
    trials += [files.trial(n) for n in (2, 3, 4)]
    found = choice_of(make.view(trials, folder=tmp_path, alive=True))
    assert (counted.times, found.luck.ended) == (1, 2)
    assert found.selection[-1] == "The correction is as of 2 ended trials, of 5 now."
    more = [*trials, files.trial(5), files.trial(6)]
    assert choice_of(make.view(more, folder=tmp_path, alive=True)).luck.ended == 7
    assert counted.times == 2
    assert choice_of(make.view(more, folder=tmp_path)).luck.ended == 7
    other = [*more, files.trial(7, strength=4.0)]
    assert choice_of(make.view(other, folder=tmp_path, alive=True)).best == 7
    assert counted.times == 3


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make.files(tmp_path)
    view = make.view([files.trial(0), files.trial(1)], folder=tmp_path)

    def refused(*_: Any) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(module, "write_json", refused)
    assert choice_of(view).corrected is not None
    assert not (tmp_path / CHOSEN).exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"searched": 3}', '{"searched": {"digest": 3, "luck": []}}']
)
def test_whatever_lies_where_the_correction_is_kept_it_is_made_anew(
    make: SimpleNamespace, tmp_path: Path, content: str
) -> None:
    files = make.files(tmp_path)
    view = make.view([files.trial(0)], folder=tmp_path)
    (tmp_path / CHOSEN).write_text(content)
    assert choice_of(view).corrected is not None
    assert "luck" in _kept(tmp_path)["searched"]


def test_nothing_is_made_where_no_folder_is(make: SimpleNamespace, tmp_path: Path) -> None:
    choice_of(make.view([make.trial(0)], folder=tmp_path / "gone"))
    assert list(tmp_path.iterdir()) == []


def test_of_very_many_candidates_the_highest_are_read(
    make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0, strength=1.5), *(files.trial(n, strength=0.2) for n in (1, 2, 3))]
    whole = choice_of(make.view(trials, folder=tmp_path)).luck
    monkeypatch.setattr(luck_module, "MOST_CANDIDATES", 3)
    read: list[Path] = []
    real = luck_module.epoch_scores

    def noted(folder: Path, *given: Any) -> Any:
        read.append(folder)
        return real(folder, *given)

    monkeypatch.setattr(luck_module, "epoch_scores", noted)
    module._memory.clear()
    (tmp_path / CHOSEN).unlink()
    few = choice_of(make.view(trials, folder=tmp_path)).luck
    assert {folder.name for folder in read} == {"0"}
    assert (few.trials, few.of) == (4, 4)
    assert few.value == pytest.approx(whole.value, abs=0.005)


def test_marks_that_are_not_known_take_no_part(make: SimpleNamespace, tmp_path: Path) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0), files.trial(1)]
    plain = choice_of(make.view(trials, folder=tmp_path)).corrected
    known = load_labels(tmp_path / "labels.npz")
    marks = known.labels.astype(np.float32)
    marks[:10, 0], marks[10:20, 1] = np.nan, 0.5
    save_labels(tmp_path / "labels.npz", replace(known, labels=marks))
    found = choice_of(make.view(trials, folder=tmp_path)).corrected
    assert found is not None
    assert found != plain


def test_predictions_of_other_images_are_no_candidates(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0, strength=1.0), files.trial(1)]
    kept = read_epoch_scores(tmp_path / "trials" / "1")
    assert kept is not None
    each = {int(e): HalfLogits(kept.scores[i], kept.centres[i]) for i, e in enumerate(kept.epochs)}
    back = {e: HalfLogits(one.scores[::-1], one.centres) for e, one in each.items()}
    plain = choice_of(make.view(trials, folder=tmp_path)).luck
    save_epoch_scores(tmp_path / "trials" / "1", kept.names[::-1], back)
    module._memory.clear()
    (tmp_path / CHOSEN).unlink()
    assert choice_of(make.view(trials, folder=tmp_path)).luck == plain
    save_epoch_scores(tmp_path / "trials" / "1", np.char.add("other-", kept.names), each)
    (tmp_path / "trials" / "1" / "val.npz").unlink()
    found = choice_of(make.view(trials, folder=tmp_path)).luck
    assert (found.trials, found.of) == (1, 2)


def test_labels_that_no_longer_fit_are_a_reason_and_no_crash(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    files = make.files(tmp_path)
    trials = [files.trial(0)]
    known = load_labels(tmp_path / "labels.npz")
    save_labels(tmp_path / "labels.npz", replace(known, labels=np.zeros_like(known.labels)))
    found = choice_of(make.view(trials, folder=tmp_path))
    assert found.corrected is None
    assert "none of 2 labels has both positives and negatives" in found.selection[0]
    settings = {"settings": {"objective": "auroc:Hernia"}}
    (tmp_path / CHOSEN).unlink()
    found = choice_of(make.view(trials, folder=tmp_path, settings=settings))
    assert "unknown label 'Hernia'" in found.luck.reason
