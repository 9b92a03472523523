"""A space is written once, and is for whatever labels the data have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import new_defaults
from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.show.plain_text import to_text
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.label_genes import AtHand, known_genes, read_space
from cxrsearch.study.named_recipes import find_recipe, for_labels
from cxrsearch.study.printing import counts_table, explain_space, list_spaces
from cxrsearch.study.settings import Settings
from cxrsearch.study.space import idle_genes, load_space, shipped_spaces
from search.errors import SpaceError
from search.space import SearchSpace
from search.store.record import read_study

Run = Callable[..., tuple[int, str, str]]
NIH = AtHand(DISEASES)
ODD = AtHand(("Pleural Effusion", "Nodule/Mass", "COVID-19"))
BEFORE = {
    "full": (46, "e0b402b40fc21fb0"),
    "quick": (15, "6183dad93e29fc65"),
    "report": (16, "97a3ef8cb1acec12"),
    "seed-ratios": (16, "9085ca5b1a84f6f1"),
}
"""Genes and fingerprints of the shipped spaces when they spelt out NIH's labels."""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", BEFORE)
def test_of_nihs_labels_the_shipped_spaces_are_what_they_were(name: str) -> None:
    plain = read_space(shipped_spaces()[name], NIH).to_dict()
    later = {*new_defaults(), "epoch_size"}
    plain["fixed"] = {g: v for g, v in plain["fixed"].items() if g not in later}
    space = SearchSpace.from_dict(plain, name, known_genes(plain))
    assert (len(space.genes), space.fingerprint) == BEFORE[name]


def test_draw_weights_stand_in_the_order_of_the_labels() -> None:
    genes = list(read_space(shipped_spaces()["seed-ratios"], NIH).genes)
    assert genes[:3] == ["balance", "ratio_Atelectasis", "ratio_Cardiomegaly"]
    assert genes[-2:] == ["ratio_Hernia", "ratio_No_Finding"]


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("at_hand", [ODD, AtHand(("TB",), ("ignore",))])
def test_shipped_spaces_are_for_any_labels_with_their_points(name: str, at_hand: AtHand) -> None:
    space = read_space(shipped_spaces()[name], at_hand)
    assert len(space.points) == len(read_space(shipped_spaces()[name]).points)
    stored = SearchSpace.from_dict(space.to_dict())
    assert stored.fingerprint == space.fingerprint
    ratios = [gene for gene in space.genes if gene.startswith("ratio_")]
    if name in ("full", "seed-ratios"):
        assert len(ratios) == len(at_hand.labels) + 1
    assert "ratio_Hernia" not in ratios


def test_what_is_named_beside_all_ratios_keeps_its_own_range(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "genes:\n  ratio_COVID_19: {low: 1.0, high: 9.0}\n  ratio_*: {low: 0.5, high: 2.0}\n"
        "points:\n  - {name: a, params: {ratio_*: 1.0, ratio_COVID_19: 3.0}}\n",
    )
    space = read_space(path, ODD)
    assert list(space.genes) == [
        "ratio_COVID_19", "ratio_Pleural_Effusion", "ratio_Nodule_Mass", "ratio_No_Finding"
    ]  # fmt: skip
    assert dict(space.points[0].params) == dict.fromkeys(space.genes, 1.0) | {"ratio_COVID_19": 3.0}


def test_limits_of_all_ratios_are_checked_before_the_data_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "genes:\n  ratio_*: {low: 0.0, high: 200.0}\n")
    with pytest.raises(SpaceError) as error:
        read_space(path)
    assert len(error.value.problems) == 2
    assert "ratio_*: low" in error.value.problems[0]


def test_each_label_that_the_data_do_not_have_is_named(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "genes:\n  ratio_Hernia: {low: 0.5, high: 2.0}\n  ratio_Pleural_Efusion: {low: 0.5, "
        "high: 2.0}\n  lr: {low: 2.0, high: 1.0}\n",
    )
    with pytest.raises(SpaceError) as error:
        read_space(path, ODD)
    hernia, effusion, lr = error.value.problems
    assert hernia.endswith(
        "ratio_Hernia: the data have no label 'Hernia'; leave it out, or say optional: true"
    )
    assert effusion.endswith("did you mean 'ratio_Pleural_Effusion'?")
    assert "lr" in lr


def test_an_optional_gene_is_searched_where_the_data_call_for_it(tmp_path: Path) -> None:
    quick = Settings(space="quick", trials=1)
    space, notes = load_space(quick, NIH)
    assert "ratio_Hernia" in space.genes
    assert "uncertain" not in space.genes
    assert notes == []
    space, notes = load_space(quick, ODD._replace(policies=("ignore", "soft")))
    assert "ratio_Hernia" not in space.genes
    assert list(space.genes["uncertain"].distribution.choices) == [  # type: ignore[attr-defined]
        "described", "ignore", "positive", "negative", "soft"
    ]  # fmt: skip
    assert notes == ["not searched, as the data have no such label: ratio_Hernia"]
    for entry, said in (("maybe", "write true or false"), ("true", "genes that hang on the data")):
        path = written(tmp_path, f"genes:\n  lr: {{low: 0.1, high: 1.0, optional: {entry}}}\n")
        with pytest.raises(SpaceError, match=said):
            read_space(path)


def test_described_is_no_choice_of_its_own_where_it_means_one_of_the_others() -> None:
    space = read_space(shipped_spaces()["quick"], ODD._replace(policies=("soft",)))
    assert list(space.genes["uncertain"].distribution.choices) == [  # type: ignore[attr-defined]
        "ignore", "positive", "negative", "soft"
    ]  # fmt: skip
    assert space.points[0].params["uncertain"] == "soft"


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        ("described", "soft (4 to 1)"),
        ("negative", "negative (4 to 1)"),
        ("{described: 3, ignore: 2}", "soft (3 to 1), ignore (2 to 1)"),
        ("{described: 3, soft: 2}", "soft (2 to 1)"),
        ("[3, 1, 2]", "soft (2 to 1)"),
    ],
)
def test_what_is_believed_of_described_is_believed_of_what_it_means(
    prior: str, words: str, tmp_path: Path
) -> None:
    choices = "[described, negative, soft]" if prior.startswith("[") else (
        "[described, ignore, negative, soft]")  # fmt: skip
    text = f"genes:\n  uncertain: {{choices: {choices}, prior: {prior}}}\n"
    space = read_space(written(tmp_path, text), ODD._replace(policies=("soft",)))
    assert space.genes["uncertain"].prior_words == words


def test_priors_are_explained_with_their_genes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "genes:\n  lr: {low: 1e-4, high: 1e-2, log: true, prior: {centre: 1e-3, width: 3}}\n",
    )
    assert "prior: about 0.001, within a factor of 3" in " ".join(explain_space(str(path)).split())


def test_a_gene_that_cannot_act_on_these_data_is_noted(tmp_path: Path) -> None:
    path = written(tmp_path, "genes:\n  uncertain: {choices: [ignore, soft]}\n")
    assert "uncertain cannot act" in idle_genes(read_space(path, NIH), NIH)[0]
    doubtful = NIH._replace(policies=("ignore",))
    assert idle_genes(read_space(path, doubtful), doubtful) == []
    many = AtHand(tuple(f"label {i}" for i in range(193)))
    space = read_space(shipped_spaces()["seed-ratios"], many)
    assert "194 draw weights are searched" in idle_genes(space, many)[0]


def test_what_must_be_known_of_the_data_is_taken_from_them() -> None:
    data = phantom_dataset(images=50, seed=0)
    assert AtHand.of(data) == AtHand(DISEASES, beside=("age", "sex", "view AP"))
    assert AtHand.of(replace(data, extra={}, roles={})) == NIH
    doubts = np.zeros(data.labels.shape, bool)
    doubts[0, 2] = doubts[1, 4] = True
    assert AtHand.of(replace(data, uncertain=doubts)).policies == ("ignore",)
    taken = tuple("soft" if name == "Mass" else "ignore" for name in DISEASES)
    found = AtHand.of(replace(data, uncertain=doubts, uncertain_as=taken))
    assert found.policies == ("ignore", "soft")


def test_a_recipe_by_name_is_for_the_labels_of_its_data(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "genes:\n  ratio_*: {low: 0.5, high: 4.0}\nfixed: {train_seed: 0.5}\n"
        "points:\n  - {name: a, params: {ratio_*: 2.0}}\n",
    )
    recipe = find_recipe(f"{path}:a", ["ratio_COVID_19=3"]).recipe
    assert dict(for_labels(recipe, ODD.labels).ratios) == {
        "COVID_19": 3.0, "No_Finding": 2.0, "Nodule_Mass": 2.0, "Pleural_Effusion": 2.0
    }  # fmt: skip
    with pytest.raises(InputError, match="the data have no label 'COVID_19'; leave it out, by"):
        for_labels(recipe, ("Mass",))
    plain = find_recipe("quick:plain-densenet121").recipe
    assert for_labels(plain, ("TB",)) == plain


def test_spaces_are_explained_without_any_data() -> None:
    assert "seed-ratios: 1 gene and one for each label, 2 known-good points" in list_spaces()
    assert "ratio_*" in explain_space("full")
    quick = " ".join(explain_space("quick").split())
    assert "the data have the label" in quick
    assert "the data have uncertain" in quick


def test_the_table_of_counts_names_the_labels_and_what_is_known() -> None:
    counts = {p: {"images": 40, "A<b>": 3, "A<b>:negative": 17, "No Finding": 20} for p in
              ("train", "val", "test")}  # fmt: skip
    text = to_text(counts_table(counts, ["A<b>"]))
    assert "A<b>" in text
    assert "3 of 20" in text
    many = [f"label {i}" for i in range(193)]
    counts = {p: {"images": 9, **dict(zip(many, range(193), strict=True))} for p in counts}
    text = to_text(counts_table(counts, many))
    assert "label 192" in text
    assert "label 1 " not in text
    assert "and 153 rarer labels" in text


def test_a_search_of_ones_own_labels_from_start_to_dashboard(
    run: Run, xrays: Path, tiny_model: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own(*args: Any) -> Dataset:
        found = read_dataset(*args)
        both = found.labels[:, 4:6].max(axis=1)
        labels = np.stack([both, found.labels[:, 2]], axis=1)
        return replace(found, labels=labels, label_names=("Nodule/Mass", "Pleural Effusion"))

    monkeypatch.setattr("cxrsearch.study.data.read_dataset", own)
    data = xrays
    space = written(
        tmp_path,
        "name: mine\ngenes:\n  ratio_*: {low: 0.5, high: 2.0}\n  ratio_Hernia: {low: 1, high: 2, "
        "optional: true}\nfixed: {model: densenet121, input_size: 32, epochs: 1, "
        "batch_size: 16, train_seed: 0.5}\n",
    )
    study = tmp_path / "study"
    words = ["ga", "--data", data, "--space", space, "--runner", "serial", "--population", 2]
    code, out, err = run(
        *words, "--trials", 2, "--objective", "auroc:nodule mass", "--study", study
    )
    assert code == 0, err
    assert "Nodule/Mass" in out
    assert set(read_study(study).space.genes) == {
        "ratio_Nodule_Mass", "ratio_Pleural_Effusion", "ratio_No_Finding"
    }  # fmt: skip
    assert list(read_study_yaml(study)["data"]["labels"]) == ["Nodule/Mass", "Pleural Effusion"]
    assert run("resume", study)[0] == 0
    assert run("dashboard", study)[0] == 0
    page = (study / "dashboard.html").read_text()
    assert "Pleural Effusion" in page
    assert "<td>Nodule/Mass</td>" in page
    assert "<td>Pneumothorax</td>" not in page
    code, _, err = run(*words, "--trials", 2, "--objective", "auroc:Hernia", "--study", study / "b")
    assert code == 2
    assert "unknown label 'Hernia'" in err
