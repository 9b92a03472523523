"""What is settled before the first trial."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe, gene_limits, ratio_genes
from cxrsearch.study.label_genes import AtHand, read_space
from cxrsearch.study.prepare import prepare, resolve_hardware
from cxrsearch.study.settings import Settings
from cxrsearch.study.space import (
    check_networks,
    frame_for,
    gene_prior_notes,
    idle_genes,
    shipped_spaces,
    without_missing_weights,
)
from search.space import SearchSpace


def space_of(genes: dict[str, Any], **more: Any) -> SearchSpace:
    plain = {"name": "s", "genes": genes, **more}
    return SearchSpace.from_dict(plain, "s", known=gene_limits())


NIH = AtHand(DISEASES)
LR = {"lr": {"low": 1e-4, "high": 1e-2}}
CROP = {"crop": {"low": 512, "high": 1024}}


@pytest.mark.parametrize(
    ("genes", "fixed", "side", "frame"),
    [
        (LR, {"input_size": 64}, 1024, 64),
        (CROP, {"input_size": 64}, 1024, 128),
        (LR, {"input_size": "100x134"}, 1024, 160),
        (CROP, {"input_size": 640}, 1024, 1024),
        (CROP, {"input_size": 224}, 224, 224),
    ],
)
def test_the_frame_is_just_enough_for_the_finest_recipe(
    genes: dict[str, Any], fixed: dict[str, Any], side: int, frame: int
) -> None:
    assert frame_for(space_of(genes, fixed=fixed), side) == frame


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_shipped_spaces_load_and_hold_their_points(name: str) -> None:
    space = read_space(shipped_spaces()[name], NIH)
    assert space.points


def test_networks_that_cannot_be_had_or_take_no_such_images_are_all_named() -> None:
    vit, unknown = "timm:vit_tiny_patch16_224", "timm:resnet81"
    sizes = {"input_size": {"choices": ["64x64", "100x134"]}}
    space = space_of(sizes | {"model": {"choices": ["resnet18", vit, unknown]}})
    with pytest.raises(InputError) as refused:
        check_networks(space)
    first, second = refused.value.problems
    assert "vit_tiny_patch16_224 does not take images of 100x134" in first
    assert "timm has no network 'resnet81'; did you mean" in second
    check_networks(space_of(LR, fixed={"model": vit, "input_size": 64}))
    narrow = {"input_size": {"choices": ["100x134", "50x67"], "when": {"model": "resnet18"}}}
    check_networks(space_of(narrow | {"model": {"choices": ["resnet18", vit]}}))


class TestMissingWeights:
    def settings(self, folder: Path) -> Settings:
        return Settings(trials=1, weights_dir=str(folder))

    def test_choices_points_and_their_genes_are_left_out_and_named(self, tmp_path: Path) -> None:
        space = space_of(
            LR
            | {
                "init": {"choices": ["imagenet", "none"]},
                "freeze": {"low": 0, "high": 3, "when": {"init": "imagenet"}},
                "dropout": {"low": 0.0, "high": 0.5, "when": {"init": "none"}},
            },
            points=[
                {"name": "a", "params": {"lr": 1e-3, "init": "imagenet", "freeze": 0}},
                {"name": "b", "params": {"lr": 1e-3, "init": "none", "dropout": 0.1}},
            ],
        )
        left, notes = without_missing_weights(space, self.settings(tmp_path))
        assert set(left.genes) == {"lr", "dropout"}
        assert left.fixed["init"] == "none"
        assert [(p.name, dict(p.params)) for p in left.points] == [
            ("b", {"lr": 1e-3, "dropout": 0.1})
        ]
        assert str(tmp_path) in notes[0]
        assert "1 known-good point" in notes[-1]

    def test_the_weights_of_a_prior_go_with_its_choices(self, tmp_path: Path) -> None:
        own = tmp_path / "own.pt"
        torch.save(build_model(Recipe(), n_classes=14).state_dict(), own)
        gene = {"choices": ["imagenet", str(own), "none"], "prior": {"imagenet": 9, "none": 2}}
        left, _ = without_missing_weights(space_of(LR | {"init": gene}), self.settings(tmp_path))
        assert left.genes["init"].prior_words == "none (2 to 1)"

    def test_nothing_is_left_out_where_the_file_is_there(self, tmp_path: Path) -> None:
        file = tmp_path / "own.pt"
        torch.save(build_model(Recipe(), n_classes=14).state_dict(), file)
        space = space_of(LR, fixed={"init": str(file)})
        assert without_missing_weights(space, self.settings(tmp_path)) == (space, [])

    def test_a_search_that_has_only_missing_weights_is_refused(self, tmp_path: Path) -> None:
        space = space_of(LR, fixed={"init": "imagenet"})
        with pytest.raises(InputError, match="no starting weights are left"):
            without_missing_weights(space, self.settings(tmp_path))


def test_draw_weights_that_cannot_act_are_noted() -> None:
    weights = LR | {"balance": {"low": 0.0, "high": 1.0}}
    assert "balance" in idle_genes(space_of(weights), NIH)[0]
    assert idle_genes(space_of(weights, fixed={"train_seed": 0.5}), NIH) == []
    assert idle_genes(space_of(LR), NIH) == []


def test_no_patient_is_in_two_parts_and_the_counts_add_up(xrays: Path, tiny_space: Path) -> None:
    found = prepare(Settings(data=str(xrays), space=str(tiny_space), trials=1))
    patient = dict(zip(found.dataset.names, found.dataset.patients.tolist(), strict=True))
    parts = [{patient[n] for n in getattr(found.splits, p)} for p in ("train", "val", "test")]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert sum(found.counts[p]["images"] for p in ("train", "val", "test")) == 80
    assert len(found.dataset.unlabelled) == 4


def test_a_label_without_its_image_is_one_note(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(xrays, data)
    gone = sorted((data / "images").iterdir())[:3]
    for path in gone:
        path.unlink()
    found = prepare(Settings(data=str(data), space=str(tiny_space), trials=1))
    notes = [note for note in found.notes if gone[0].name in note]
    assert len(notes) == 1
    assert "3" in notes[0]
    assert len(found.dataset.names) == 77


def test_an_objective_that_cannot_be_judged_is_refused(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(xrays, data)
    table = data / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Hernia", "Edema"))
    settings = Settings(data=str(data), space=str(tiny_space), trials=1, objective="auroc:Hernia")
    with pytest.raises(InputError, match="none of its labels can be judged"):
        prepare(settings)


def test_gpus_and_the_cpu_device_contradict_each_other() -> None:
    with pytest.raises(InputError, match="leave one of them out"):
        resolve_hardware(Settings(trials=1, device="cpu", gpus_per_trial=1.0))


@pytest.mark.parametrize(
    ("name", "genes"),
    [
        ("report-densenet121", {"model": "densenet121", "lr": 1e-4, "epochs": 20}),
        ("report-densenet121-first", {"model": "densenet121", "lr": 1e-5, "epochs": 20}),
        ("report-vgg16", {"model": "vgg16", "lr": 1e-3, "epochs": 50}),
        ("report-densenet121-600x800", {"input_size": "600x800", "batch_size": 4}),
        ("report-densenet121-100x134", {"input_size": "100x134", "batch_size": 120}),
    ],
)
def test_the_reports_recipes_are_known_good_points(name: str, genes: dict[str, Any]) -> None:
    space = SearchSpace.load(shipped_spaces()["report"], known=gene_limits())
    point = next(dict(p.params) for p in space.points if p.name == name)
    recipe = {**space.fixed, **point}
    common = {
        "init": "imagenet", "optimizer": "adam", "schedule": "constant", "loss": "bce",
        "crop": "600x800", "rotation": 10.0, "width_shift": 0.05, "height_shift": 0.05,
        "shear": 0.04, "zoom": 0.04, "horizontal_flip": True, "train_seed": 1.0,
    }  # fmt: skip
    if "input_size" not in genes:
        common |= {"input_size": "300x400", "batch_size": 12}
    assert {gene: recipe.get(gene) for gene in common | genes} == common | genes
    assert "vertical_flip" not in recipe
    assert "patience" not in recipe


def test_the_default_copies_are_augmented_as_the_report_did() -> None:
    from cxrsearch.systems.augment.copies import REPORT_RANGES

    space = SearchSpace.load(shipped_spaces()["report"], known=gene_limits())
    point = space.points[0].params
    assert {g: v for g, v in REPORT_RANGES.items() if g in point} == {
        g: v for g, v in point.items() if g in REPORT_RANGES
    }
    assert not any(v for g, v in REPORT_RANGES.items() if g not in point)


def test_ratios_can_act_in_their_space_as_far_as_they_reach() -> None:
    space = read_space(shipped_spaces()["seed-ratios"], NIH)
    assert set(ratio_genes(DISEASES)) <= set(space.genes)
    assert idle_genes(space, NIH) == []
    reach = max(gene.distribution.high for gene in space.genes.values())  # type: ignore[attr-defined]
    assert space.fixed["train_seed"] * reach <= 1


@pytest.mark.parametrize("runner", ["serial", "ray"])
def test_more_cores_than_there_are_is_refused_for_each_runner(runner: str) -> None:
    asked = Settings(trials=1, device="cpu", runner=runner, cpus_per_trial=4000.0)
    with pytest.raises(InputError, match=r"--cpus-per-trial 4000: this machine has \d+ cores"):
        resolve_hardware(asked)
    assert resolve_hardware(replace(asked, address="auto")).cpus_per_trial == 4000.0


def test_a_sampler_that_takes_no_priors_says_so_with_the_way_out() -> None:
    space = space_of({"lr": {**LR["lr"], "prior": {"centre": 1e-3, "width": 1e-3}}})
    assert gene_prior_notes("genetic", space) == []
    assert gene_prior_notes("tpe", space_of(LR)) == []
    assert gene_prior_notes("tpe", space) == [
        "the priors of lr count for nothing, as sampler tpe takes none; use one that does "
        "(genetic), or leave them out"
    ]
