from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.losses import LOSSES
from cxrsearch.learn.networks.architectures import NETWORKS, TIMM
from cxrsearch.learn.recipe import (
    Recipe,
    as_of_now,
    effective,
    gene_limits,
    gene_limits_with,
    identity,
    ratio_genes,
    ratios_of,
)
from cxrsearch.learn.registry import genes_of

SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"optimizer": "adam", "momentum": 0.5}, {"optimizer": "adam"}),
    ({"model": "densenet121", "vgg_head": "pooled"}, {"model": "densenet121"}),
    ({"loss": "bce", "focal_gamma": 3.0, "gamma_negative": 1.0, "gamma_positive": 0.0}, {}),
    ({"train_seed": 1.0, "balance": 0.7, "ratio_Mass": 3.0}, {"train_seed": 1.0}),
    ({"train_seed": 1.0, "epoch_size": "pass"}, {}),
    ({"epochs": 5, "patience": 4}, {"epochs": 5, "patience": 0}),
    ({"crop": "600X600", "input_size": 224}, {"crop": 600, "input_size": "224x224"}),
    ({"rotation": 5, "horizontal_flip": 0}, {"rotation": 5.0, "horizontal_flip": False}),
    ({"lr": 0.1 + 0.2}, {"lr": 0.3}),
    ({"model": "densenet121", "drop_path": 0.3}, {"model": "densenet121"}),
    ({"ema": 0.0, "ema_norms": "measured"}, {"ema": 0.0}),
    ({"pseudo": "none", "pseudo_share": 0.2, "pseudo_weight": 3.0}, {}),
    ({"train_seed": 0.5, "ratio_Mass": 1.0}, {"train_seed": 0.5}),
    (
        {"train_seed": 0.5, "ratio_Mass": 2.0, "ratio_COVID_19": 3},
        {"train_seed": 0.5, "ratio_COVID_19": 3.0, "ratio_Mass": 2},
    ),
    ({"pseudo": "mean_teacher", "pseudo_share": 0.2}, {"pseudo": "mean_teacher", "ema": 0.99}),
]
OTHER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"model": "resnet18", "drop_path": 0.3}, {"model": "resnet18"}),
    ({"model": "timm:resnet18", "drop_path": 0.3}, {"model": "timm:resnet18"}),
    ({"ema": 0.9, "ema_norms": "measured"}, {"ema": 0.9}),
    ({"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "sgd"}),
    ({"model": "vgg16", "vgg_head": "pooled"}, {"model": "vgg16"}),
    ({"loss": "focal", "focal_gamma": 3.0}, {"loss": "focal"}),
    ({"loss": "asymmetric", "gamma_positive": 0.0}, {"loss": "asymmetric"}),
    ({"train_seed": 0.9, "balance": 0.7}, {"train_seed": 0.9}),
    ({"train_seed": 0.9, "ratio_Mass": 3.0}, {"train_seed": 0.9}),
    ({"train_seed": 0.9, "epoch_size": "pass"}, {"train_seed": 0.9}),
    ({"epochs": 5, "patience": 3}, {"epochs": 5}),
    ({"pseudo": "soft", "pseudo_share": 0.2}, {"pseudo": "soft"}),
    ({"pseudo": "mean_teacher", "pseudo_weight": 3.0}, {"pseudo": "mean_teacher"}),
    ({"pseudo": "hard"}, {"pseudo": "calibrated"}),
    ({"uncertain": "positive"}, {}),
    ({"train_seed": 0.9, "ratio_Mass": 3.0}, {"train_seed": 0.9, "ratio_Hernia": 3.0}),
    ({"input_size": "224x225"}, {"input_size": "225x224"}),
    ({"schedule": "constant", "warmup": 0.2}, {"schedule": "constant", "warmup": 0.1}),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_recipes_that_train_the_same_have_one_identity(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    assert identity(Recipe.from_params(one)) == identity(Recipe.from_params(two))


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_recipes_that_differ_in_a_gene_that_acts_differ(
    one: dict[str, Any], two: dict[str, Any]
) -> None:
    assert identity(Recipe.from_params(one)) != identity(Recipe.from_params(two))


def test_every_gene_counts_where_it_acts() -> None:
    acting = {"train_seed": 0.5, "epochs": 9, "ema": 0.9}
    for name, limits in gene_limits(("Mass", "Lung Opacity")).items():
        acts = {parent: values[0] for parent, values in _acts(limits).items()}
        base = Recipe.from_params({**acting, **acts})
        other = _another(limits, getattr(base, name, 1.0))
        changed = Recipe.from_params({**acting, **acts, name: other})
        assert identity(base) != identity(changed), name


def _acts(limits: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The values of other genes with which a gene acts."""
    acts = limits.get("acts", {})
    return {k: v if isinstance(v, tuple) else (v,) for k, v in acts.items()}


def _another(limits: dict[str, Any], value: Any) -> Any:
    if "choices" in limits:
        return next(choice for choice in limits["choices"] if choice != value)
    if limits["type"] == "bool":
        return not value
    if limits.get("text"):
        return "some-file"
    return limits["high"] if limits.get("high", value) != value else value + 1


def test_genes_that_only_act_with_another_name_one_of_its_choices() -> None:
    limits = gene_limits()
    for name, gene in limits.items():
        for parent, values in _acts(gene).items():
            assert set(values) - {TIMM} <= set(limits[parent]["choices"]), name


def test_networks_and_losses_are_the_choices_and_say_which_genes_they_take() -> None:
    limits = gene_limits()
    for gene, table in (("model", NETWORKS), ("loss", LOSSES)):
        assert limits[gene]["choices"] == tuple(table)
        for name, function in table.items():
            for taken in genes_of(function):
                assert name in _acts(limits[taken]).get(gene, table), (name, taken)


def test_the_genes_are_known_without_torch() -> None:
    code = "import sys, cxrsearch.learn.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_acts_is_left_as_it_is() -> None:
    recipe = Recipe(model="vgg16", vgg_head="pooled", optimizer="sgd", momentum=0.5,
                    loss="focal", focal_gamma=3.0, train_seed=0.5, balance=0.5, epochs=9,
                    patience=2)  # fmt: skip
    assert effective(recipe) == recipe
    assert effective(replace(recipe, optimizer="adam")).momentum == Recipe.momentum


def test_draw_weights_are_those_of_the_labels_at_hand() -> None:
    genes = ratio_genes(("Lung Opacity", "COVID-19"))
    assert list(genes) == ["ratio_Lung_Opacity", "ratio_COVID_19", "ratio_No_Finding"]
    assert not any(name.startswith("ratio_") for name in gene_limits())
    assert gene_limits(("Lung Opacity", "COVID-19")) == gene_limits() | genes
    known = gene_limits_with(["lr", "ratio_COVID_19"])
    assert set(known) == {*gene_limits(), "ratio_COVID_19"}
    assert len(ratio_genes(DISEASES)) == 15


def test_draw_weights_of_before_labels_had_names_are_still_read() -> None:
    numbers = [1.0] * 15
    assert ratios_of(numbers) == ratios_of(()) == ratios_of({}) == Recipe().ratios
    numbers[0], numbers[12], numbers[14] = 2.0, 3.0, 0.5
    named = (("Atelectasis", 2.0), ("No_Finding", 0.5), ("Pleural_Thickening", 3.0))
    given = {f"ratio_{name}": weight for name, weight in named}
    assert Recipe.from_params({"ratio_Mass": 1, **given}).ratios == named
    for stored in (tuple(numbers), dict(named), [list(pair) for pair in named], named):
        assert ratios_of(stored) == named
    wrong: list[Any] = [
        [1.0] * 14, "text", 3, None, {"Mass": 0}, {"Mass": 101}, {"Mass": True}, {"Mass": "2"},
        [["Mass", 2.0], ["Mass", 3.0]], [["Mass"]], [["Mass", 2.0], 3.0], {"Mass": float("nan")},
        {3: 2.0},
    ]  # fmt: skip
    for stored in wrong:
        with pytest.raises(ValueError, match="must be numbers above 0"):
            ratios_of(stored)


def test_a_recipe_of_before_is_as_one_of_now() -> None:
    recipe = Recipe(lr=0.5, ratios=(("Hernia", 4.0),))
    before = {**asdict(recipe), "ratios": (*(1.0,) * 13, 4.0, 1.0)}
    del before["uncertain"]
    assert as_of_now(before) == as_of_now(asdict(recipe)) == asdict(recipe)


def test_uncertain_does_nothing_where_no_mark_is_uncertain() -> None:
    recipe = Recipe(uncertain="positive")
    assert identity(recipe, ()) == identity(Recipe())
    assert effective(recipe, ()) == Recipe()
    assert effective(recipe).uncertain == "positive"
    # Where the description says the same of all of them, the gene says nothing new.
    assert identity(recipe, ("positive",)) == identity(Recipe(), ("positive",))
    for described in (("ignore",), ("ignore", "positive")):
        assert identity(recipe, described) != identity(Recipe(), described)
