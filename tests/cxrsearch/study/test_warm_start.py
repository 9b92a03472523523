"""Starting a search from earlier studies: ``--from``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.show.status import status
from cxrsearch.study.experiment import Settings, resume, search
from cxrsearch.study.prepare import prepare
from cxrsearch.study.warm_start import label_notes, prior_of, read_earlier
from search.objective import Outcome
from search.space import SearchSpace
from search.store.record import read_study
from search.study import Study, StudyConfig

OTHER = """
name: other
genes:
  lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  rotation: {low: 0.0, high: 5.0}
fixed: {model: densenet121, input_size: 32, epochs: 1, batch_size: 16}
"""


@pytest.fixture
def other_space(tmp_path: Path) -> Path:
    path = tmp_path / "other.yaml"
    path.write_text(OTHER)
    return path


def test_a_search_starts_from_an_earlier_one_and_needs_it_no_more(
    finished_study: Path, xrays: Path, other_space: Path, tmp_path: Path
) -> None:
    old = tmp_path / "first"
    shutil.copytree(finished_study, old)
    best = read_study(old).best()
    assert best is not None
    settings = Settings(
        data=str(xrays), space=str(other_space), from_studies=[str(old)], trials=1,
        population=2, runner="serial", seed=5,
    )  # fmt: skip
    folder = search(settings, tmp_path / "second")
    shutil.rmtree(old)
    resume(folder, more=1)
    trials = read_study(folder).trials
    assert trials[0].params["lr"] == best.params["lr"]
    assert trials[0].params["rotation"] == min(best.params["rotation"], 5.0)
    assert "prior" not in trials[1].user_attrs

    (source,) = status(folder)["from"]
    assert source["study"] == read_study(folder).config.prior.studies[0].name
    assert source["tried"] == [{"number": 0, "trial": best.number, "value": trials[0].value}]
    notes = yaml.safe_load((folder / "study.yaml").read_text())["notes"]
    assert any("starts from" in note and "sharing 2 genes (lr, rotation)" in note for note in notes)


def test_everything_wrong_with_earlier_studies_is_named_at_once(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    foreign = SearchSpace.from_dict({"name": "s", "genes": {"z": {"low": 0.0, "high": 1.0}}}, "s")
    Study.create(tmp_path / "fresh", foreign, StudyConfig("fresh", "random", 1)).close()
    given = [tmp_path / "nowhere", tmp_path / "fresh", finished_study, finished_study]
    settings = Settings(
        data=str(xrays), space=str(tiny_space), from_studies=[str(g) for g in given], trials=1
    )
    with pytest.raises(InputError) as error:
        prepare(settings)
    text = str(error.value)
    assert f"--from {tmp_path / 'nowhere'}: " in text
    assert "no trial of this study is complete" in text
    assert f"--from {finished_study}: is named twice" in text


def test_a_study_without_a_gene_in_common_is_refused(
    finished_study: Path, xrays: Path, tmp_path: Path
) -> None:
    space = tmp_path / "apart.yaml"
    space.write_text("name: apart\ngenes: {weight_decay: {low: 0.0, high: 0.1}}\n")
    settings = Settings(
        data=str(xrays), space=str(space), from_studies=[str(finished_study)], trials=1
    )
    with pytest.raises(InputError, match="none of its genes fits one of the space apart"):
        prepare(settings)


def test_the_option_is_repeatable_and_a_dashboard_names_the_source(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path, run
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished_study, copy)
    words = ["--data", xrays, "--space", tiny_space, "--trials", 1, "--runner", "serial"]
    folder = tmp_path / "new"
    code, out, err = run("ga", *words, "--from", finished_study, "--from", copy, "--study", folder)
    assert code == 0, err
    assert f"from {finished_study}: trial 0 (its " in out
    assert f"from {copy}: none tried yet" in out
    code, out, _ = run("dashboard", folder)
    assert code == 0
    page = (folder / "dashboard.html").read_text()
    assert "Started from" in page
    assert "prior (trial " in page


def test_a_mistyped_earlier_study_costs_one_line(run, tmp_path: Path) -> None:
    code, _, err = run("optuna", "--trials", 1, "--from", tmp_path / "typo")
    assert code == 2
    assert err.startswith(f"error: --from {tmp_path / 'typo'}")
    assert "Traceback" not in err


RATIO = {"low": 0.25, "high": 4.0, "log": True}


def test_draw_weights_go_over_by_label_and_those_of_new_labels_start_at_one(tmp_path: Path) -> None:
    genes = {"lr": {"low": 0.1, "high": 1.0}, "ratio_Mass": RATIO, "ratio_Hernia": RATIO}
    space = SearchSpace.from_dict({"name": "nih", "genes": genes}, "s")
    with Study.create(tmp_path / "nih", space, StudyConfig("nih", "random", 1)) as study:
        old = study.ask()
        study.tell(old.number, Outcome(0.7))
    (record,) = read_earlier([str(tmp_path / "nih")])
    genes = {"ratio_Mass": RATIO, "ratio_COVID_19": RATIO, "ratio_No_Finding": RATIO}
    new = SearchSpace.from_dict({"name": "own", "genes": genes}, "s")
    labels = ("Mass", "COVID-19")
    prior = prior_of([record], new, labels)
    assert prior is not None
    assert dict(prior.points[0].params) == {
        "ratio_Mass": pytest.approx(old.params["ratio_Mass"]), "ratio_COVID_19": 1.0
    }  # fmt: skip
    assert prior.studies[0].genes == ("ratio_Mass",)
    (note,) = label_notes([record], labels)
    assert "both have Mass; new here are COVID-19; it had besides Atelectasis, " in note
    assert "those of new labels start at 1" in note
    assert label_notes([record], DISEASES) == []
