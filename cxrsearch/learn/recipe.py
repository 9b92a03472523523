"""What can be searched: the genes of a training recipe, each in one place.

A gene is a field of `Recipe`: its default, its limits and its help text stand here, and
the code that trains reads it by name. To add one, add a field and use it where it acts;
spaces, validation, help and the dashboard follow. This file imports no torch, so that a
space is checked before anything heavy is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cxrsearch.data.description import POLICIES
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.labels.names import gene_part

from .losses import LOSSES
from .mixes import MIXES
from .networks.architectures import NETWORKS, TIMM, TIMM_NAME
from .networks.architectures import size_of as size_of
from .networks.weights.asked import start_of
from .registry import taking

PSEUDO = ("none", "hard", "soft", "calibrated", "mean_teacher")
"""What a training makes of images without a label; see `cxrsearch.learn.pseudo`."""
SELECTING = PSEUDO[1:4]
"""Those that take a share of the images at each end of a teacher's scores."""

RATIO_PREFIX = "ratio_"
"""What the genes of draw weights begin with; the label follows, as `gene_part` writes it."""

DESCRIBED = "described"
"""The gene ``uncertain`` that follows the description of the data."""


AUGMENTATION, MIXING, DRAWING = "augmentation", "mixing", "drawing"
"""Groups of genes: what is done to a training image, to a batch of them, and which an epoch draws.

At its default a gene of any of them does nothing."""


def _gene(default: Any, help: str, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Recipe:
    """One training recipe. Every field is a gene or may be fixed in a space."""

    model: str = _gene(
        "densenet121",
        "network: torchvision's by these names, or any of timm's (pip install 'cxrsearch[timm]')",
        choices=tuple(NETWORKS),
        also={f"{TIMM}NAME": TIMM_NAME},
        held=True,
    )
    vgg_head: str = _gene(
        "full",
        "vgg16 only: torchvision's three dense layers (120 million weights), or one after pooling",
        choices=("full", "pooled"),
        acts={"model": taking(NETWORKS, "vgg_head")},
        held=True,
    )
    init: str = _gene(
        "none",
        "starting weights: none, imagenet, drawn (of X-rays that we draw), a file that has them "
        "all (`cxrsearch pretrain` writes one, `cxrsearch weights FILE` says what fits), or "
        "partial:FILE for what fits of it; "
        "frozen-features and frozen-features:FILE train the last layer alone on their features",
        text=True,
        held=True,
    )
    freeze: int = _gene(
        0, "first blocks of the network that are not trained", low=0, high=5, held=True
    )
    dropout: float = _gene(
        0.0,
        "dropout before the last layer (vgg16's full head: between its layers)",
        low=0.0,
        high=0.95,
    )
    drop_path: float = _gene(
        0.0,
        "stochastic depth: how often the last residual branch puts out nothing in training, those "
        "before it in proportion",
        low=0.0,
        high=0.9,
        acts={"model": (*taking(NETWORKS, "drop_path"), TIMM)},
    )

    epochs: int = _gene(10, "epochs at most", low=1, high=1000, held=True)
    patience: int = _gene(
        0, "stop after so many epochs without a better one; 0: never", low=0, held=True
    )
    batch_size: int = _gene(
        32, "images an optimiser step (split by memory)", low=1, high=4096, held=True
    )
    optimizer: str = _gene("adamw", "optimiser", choices=("adam", "adamw", "sgd"))
    lr: float = _gene(1e-3, "peak learning rate", above=0.0, high=10.0)
    weight_decay: float = _gene(
        1e-2,
        "weight decay; with frozen-features the penalty of the squared weights (1 / (C n))",
        low=0.0,
        high=10.0,
    )
    momentum: float = _gene(
        0.9, "Nesterov momentum of sgd", low=0.0, high=0.999, acts={"optimizer": "sgd"}
    )
    schedule: str = _gene(
        "onecycle", "learning rate over the steps", choices=("constant", "cosine", "onecycle")
    )
    warmup: float = _gene(0.1, "share of the steps spent warming up", low=0.0, high=0.9)
    ema: float = _gene(0.0, "decay of the averaged weights; 0: none", low=0.0, high=0.9999)
    head_bias: str = _gene(
        "zero",
        "where the last layer's biases start: at 0, or for each label at the constant answer that "
        "costs the least by the recipe's loss (prevalence; with bce the log-odds of its share of "
        "the drawn images); weights that bring a head keep theirs",
        choices=("zero", "prevalence"),
        new="prevalence",
    )
    ema_norms: str = _gene(
        "averaged",
        "statistics of batch normalisation for the weights that ema averages: averaged alike, or "
        "measured for them on training images after each epoch",
        choices=("averaged", "measured"),
        new="measured",
    )
    swa: float = _gene(
        0.0,
        "share of the epochs, the last ones, at a rate that stays where it is, after each of which "
        "the mean of their weights is what counts (in the place of ema's); 0: none",
        low=0.0,
        high=1.0,
    )
    layer_decay: float = _gene(
        1.0,
        "factor on the learning rate of a stage for each stage that it is away from the head; 1: "
        "all learn alike",
        above=0.0,
        high=1.0,
    )
    sharpness: float = _gene(
        0.0,
        "sharpness-aware steps, which take twice as long: gradients are taken so far up the slope; "
        "0: where the weights are",
        low=0.0,
        high=1.0,
    )

    loss: str = _gene("bce", "loss", choices=tuple(LOSSES))
    focal_gamma: float = _gene(
        2.0,
        "focusing exponent of the focal loss",
        low=0.0,
        high=10.0,
        acts={"loss": taking(LOSSES, "focal_gamma")},
    )
    gamma_negative: float = _gene(
        4.0,
        "asymmetric loss: negatives' exponent",
        low=0.0,
        high=10.0,
        acts={"loss": taking(LOSSES, "gamma_negative")},
    )
    gamma_positive: float = _gene(
        1.0,
        "asymmetric loss: positives' exponent",
        low=0.0,
        high=10.0,
        acts={"loss": taking(LOSSES, "gamma_positive")},
    )
    margin: float = _gene(
        1.0,
        "AUC-margin loss: how far the mean probability of the positives ought to be above the "
        "negatives'",
        above=0.0,
        high=1.0,
        acts={"loss": taking(LOSSES, "margin")},
    )
    label_smoothing: float = _gene(0.0, "label smoothing", low=0.0, high=0.5)
    auxiliary: float = _gene(
        0.0,
        "weight of heads for age, sex and view, where the data say them, in training only; 0: none",
        low=0.0,
        high=10.0,
    )
    uncertain: str = _gene(
        DESCRIBED,
        "what a mark that nobody was sure of counts as in training: what the data set's "
        "description says, nothing (ignore), 1, 0, or one half (soft)",
        choices=(DESCRIBED, *POLICIES),
    )

    pseudo: str = _gene(
        "none",
        "images without a label (--pseudo): left aside; the share of each label that a teacher "
        "finds nearest to 0 and to 1, as 0 and 1 (hard), as its calibrated probability (soft), or "
        "as 0 and 1 beyond a calibrated threshold (calibrated); or all of them, to agree with the "
        "average of one's own weights on (mean_teacher)",
        choices=PSEUDO,
    )
    pseudo_share: float = _gene(
        0.05,
        "share of the images without a label that is taken at each end, a label",
        above=0.0,
        high=0.5,
        acts={"pseudo": SELECTING},
    )
    pseudo_weight: float = _gene(
        1.0,
        "weight of a pseudo-label beside a label's 1; mean_teacher: of the disagreement",
        above=0.0,
        high=100.0,
        acts={"pseudo": PSEUDO[1:]},
    )

    distill: float = _gene(
        0.0,
        "share of each training target that is what a teacher (--pseudo) says of the image, in the "
        "place of its label; 0: none",
        low=0.0,
        high=1.0,
    )

    crop: int | str = _gene(
        1024,
        "central window kept, in units of a 1024 frame: a side, or HEIGHTxWIDTH",
        low=64,
        high=1024,
        size=True,
    )
    input_size: int | str = _gene(
        224,
        "what the network sees: a side, or HEIGHTxWIDTH",
        low=32,
        high=1024,
        size=True,
        held=True,
    )
    start_size: float = _gene(
        1.0,
        "share of input_size in the first epochs (at least 32 pixels), growing to all of it over "
        "the first half of the epochs; 1: none",
        low=0.25,
        high=1.0,
        held=True,
    )

    rotation: float = _gene(
        0.0,
        "rotation range, degrees to either side",
        low=0.0,
        high=180.0,
        group=AUGMENTATION,
        report=10.0,
    )
    width_shift: float = _gene(
        0.0,
        "shift range, share of the width",
        low=0.0,
        high=0.5,
        group=AUGMENTATION,
        report=0.05,
    )
    height_shift: float = _gene(
        0.0,
        "shift range, share of the height",
        low=0.0,
        high=0.5,
        group=AUGMENTATION,
        report=0.05,
    )
    shear: float = _gene(
        0.0,
        "shear range, degrees to either side",
        low=0.0,
        high=45.0,
        group=AUGMENTATION,
        report=0.04,
    )
    zoom: float = _gene(
        0.0,
        "zoom range: 1 - zoom to 1 + zoom on each axis",
        low=0.0,
        high=0.9,
        group=AUGMENTATION,
        report=0.04,
    )
    horizontal_flip: bool = _gene(
        False,
        "flip half of the images left to right: the heart changes sides",
        group=AUGMENTATION,
        report=True,
    )
    vertical_flip: bool = _gene(False, "flip half of the images top to bottom", group=AUGMENTATION)
    brightness: float = _gene(
        0.0, "brightness factor 1 - b to 1 + b", low=0.0, high=0.9, group=AUGMENTATION
    )
    contrast: float = _gene(
        0.0, "contrast factor 1 - c to 1 + c", low=0.0, high=0.9, group=AUGMENTATION
    )
    erasing: float = _gene(
        0.0,
        "share of the images in which a random rectangle (2 to 20% of the area) is filled with the "
        "image's mean",
        low=0.0,
        high=1.0,
        group=AUGMENTATION,
    )
    trivial: float = _gene(
        0.0,
        "one operation an image, drawn at random, at a strength up to this: 1 is a rotation of 25 "
        "degrees, a shift of 15% or a zoom of 25%, contrast from 0.6 to 1.4, blur, noise, ...",
        low=0.0,
        high=1.0,
        group=AUGMENTATION,
    )

    mix: str = _gene(
        "none",
        "images laid into one another, and their labels by share: two over each other (mixup), a "
        "rectangle of another (cutmix), or four in a grid (mosaic)",
        choices=("none", *MIXES),
        group=MIXING,
    )
    mix_alpha: float = _gene(
        0.4,
        "how even the shares of two images are: Beta(a, a); the smaller, the more of one alone",
        low=0.05,
        high=10.0,
        group=MIXING,
        acts={"mix": taking(MIXES, "mix_alpha")},
    )

    train_seed: float = _gene(
        1.0,
        "share of the training images drawn each epoch, without replacement; at 1 all are, and "
        "balance and ratios say nothing",
        above=0.0,
        high=1.0,
        group=DRAWING,
    )
    balance: float = _gene(
        0.0,
        "0: draw as the data is; 1: every label equally likely (train_seed below 1)",
        low=0.0,
        high=1.0,
        group=DRAWING,
    )
    ratios: tuple[tuple[str, float], ...] = _gene(
        (),
        "draw weights on top of balance, of the labels that have another than 1, by `gene_part`",
        group=DRAWING,
    )
    epoch_size: str = _gene(
        "draw",
        "an epoch is one draw of train_seed, or as many draws as make a pass: as many images as "
        "the training part has, whatever train_seed is",
        choices=("draw", "pass"),
        group=DRAWING,
    )

    @property
    def epoch_share(self) -> float:
        """Images of an epoch, as a share of the training part."""
        return 1.0 if self.epoch_size == "pass" else self.train_seed

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial's parameters; genes that are not given keep their default.

        Raises:
            ValueError: where a name is unknown. Which labels there are a recipe does not know.
        """
        given = dict(params)
        weights = {
            name.removeprefix(RATIO_PREFIX): float(given.pop(name))
            for name in params
            if name.startswith(RATIO_PREFIX)
        }
        unknown = sorted(set(given) - {f.name for f in fields(cls)} | set(given) & {"ratios"})
        if unknown:
            raise ValueError(f"unknown genes: {', '.join(unknown)}")
        return cls(**given, ratios=_sorted(weights))


def _sorted(weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((name, weight) for name, weight in weights.items() if weight != 1))


def ratios_of(stored: Any) -> tuple[tuple[str, float], ...]:
    """`Recipe.ratios` as some file has them, in any of the forms that were written.

    Args:
        stored: weights by name, pairs of name and weight, or the 15 numbers of before labels had
            names: NIH's diseases, then No Finding.

    Raises:
        ValueError: where they are none of these, or a weight is not above 0 and at most 100.
    """
    wrong = ValueError(
        "must be numbers above 0, up to 100, by label, or 15 of them (NIH's diseases, then No "
        "Finding)"
    )
    if isinstance(stored, Mapping):
        stored = list(stored.items())
    if not isinstance(stored, list | tuple):
        raise wrong
    if stored and not any(isinstance(pair, list | tuple) for pair in stored):
        names = [gene_part(name) for name in (*DISEASES, NO_FINDING)]
        stored = list(zip(names, stored, strict=False)) if len(stored) == len(names) else [()]
    for pair in stored:
        if not isinstance(pair, list | tuple) or list(map(_kind, pair)) != ["name", "weight"]:
            raise wrong
    if len(dict(stored)) < len(stored):
        raise wrong
    return _sorted({name: float(weight) for name, weight in stored})


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "name"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "weight" if number and 0 < value <= 100 else ""


def as_of_now(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The genes of a recipe that an earlier version wrote, as `dataclasses.asdict` has them now.

    Raises:
        ValueError: where ``ratios`` are none.
    """
    later = {f.name: f.default for f in fields(Recipe) if f.name not in stored}
    return {**stored, **later, "ratios": ratios_of(stored.get("ratios", ()))}


MEAN_TEACHER_EMA = 0.99
"""Decay of the average that a mean teacher is, where a recipe has none of its own."""


def averaged(recipe: Recipe) -> float:
    """The decay of the averaged weights; 0: there are none."""
    return recipe.ema or (MEAN_TEACHER_EMA if recipe.pseudo == "mean_teacher" else 0.0)


def tail_epochs(recipe: Recipe) -> int:
    """How many of the last epochs have their weights averaged by the gene ``swa``; 0: none."""
    return max(1, round(recipe.swa * recipe.epochs)) if recipe.swa > 0 else 0


def passes(recipe: Recipe) -> int:
    """How often a step computes the gradients of a batch."""
    return 2 if recipe.sharpness > 0 else 1


def gene_limits(labels: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Each gene's metadata by name: ``help``, ``type`` and, where it has them, its limits.

    With ``labels``, the genes of their draw weights are among them; see `ratio_genes`.

    Keys: ``choices`` (allowed values), ``also`` (patterns of further texts, by how they are said to
    look), ``low``/``high`` (inclusive), ``above`` (exclusive),
    ``size`` (a side or ``"HxW"``), ``text`` (any string), ``default``, ``acts`` (the value of
    another gene, or the values, without which this one does nothing), ``group`` (see
    `AUGMENTATION`), ``held`` (an ablation holds it equal in all arms, because it decides what an
    image costs or how many there are), ``report`` (what the team's report settled on), ``new``
    (what a space that says nothing of the gene means today; see `new_defaults`).
    """
    limits: dict[str, dict[str, Any]] = {}
    for f in fields(Recipe):
        if f.name != "ratios":
            kind = "bool" if isinstance(f.default, bool) else type(f.default).__name__
            limits[f.name] = {"default": f.default, "type": kind, **f.metadata}
    return {**limits, **(ratio_genes(labels) if labels else {})}


def ratio_genes(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The genes of the draw weights of ``labels``, and of No Finding, by name."""
    return {
        RATIO_PREFIX + gene_part(label): _ratio_limits(label) for label in (*labels, NO_FINDING)
    }


def gene_limits_with(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`gene_limits`, and those of whatever draw weights are among ``names``.

    For genes that have been held against the data's labels already.
    """
    ratios = [name for name in names if name.startswith(RATIO_PREFIX)]
    return gene_limits() | {n: _ratio_limits(n.removeprefix(RATIO_PREFIX)) for n in ratios}


def _ratio_limits(label: str) -> dict[str, Any]:
    return {
        "default": 1.0, "type": "float", "above": 0.0, "high": 100.0,
        "help": f"draw weight of images with {label.replace('_', ' ')} (train_seed below 1)",
        "group": DRAWING,
    }  # fmt: skip


def new_defaults() -> dict[str, Any]:
    """The genes whose default only recipes of before have, and what new ones have in its place.

    A file or a history that an earlier version wrote says nothing of a gene that came later, and
    means its default, at which it does nothing. So a better value for new recipes is written out:
    a space that is read for a new study fixes it, where it says nothing itself.
    """
    return {name: gene["new"] for name, gene in gene_limits().items() if "new" in gene}


def group_of(name: str) -> dict[str, dict[str, Any]]:
    """The genes of the group ``name``, as in `gene_limits`."""
    return {gene: limits for gene, limits in gene_limits().items() if limits.get("group") == name}


def network_genes() -> tuple[str, ...]:
    """The gene ``model``, and those that some networks alone have: they decide its shape."""
    return tuple(
        name
        for name, gene in gene_limits().items()
        if name == "model" or (gene.get("held") and "model" in gene.get("acts", {}))
    )


def without(*groups: str) -> dict[str, Any]:
    """The genes of ``groups`` by name, each at the default at which it does nothing."""
    return {gene: limits["default"] for name in groups for gene, limits in group_of(name).items()}


SIGNIFICANT_DIGITS = 9
"""Significant digits by which numbers are told apart: rounding noise is no other recipe."""


PROBED = (
    "model", "init", "weight_decay", "loss", "uncertain", "crop", "input_size",
)  # fmt: skip
"""The genes that act where features are frozen, beside those that make the network's shape."""


def as_trained(recipe: Recipe) -> Recipe:
    """``recipe`` as its training goes by it: of frozen features one epoch, without what is idle."""
    if not start_of(recipe.init).frozen:
        return recipe
    acting = {name: getattr(recipe, name) for name in (*PROBED, *network_genes())}
    acting["loss"] = "weighted_bce" if recipe.loss == "weighted_bce" else "bce"
    return Recipe(**acting, epochs=1)


def _acts(value: Any, values: Any) -> bool:
    """Whether ``value`` is among the ``values`` with which a gene acts; `TIMM` is all of timm's."""
    wanted = values if isinstance(values, tuple) else (values,)
    return value in wanted or (TIMM in wanted and str(value).startswith(TIMM))


def effective(recipe: Recipe, described: Sequence[str] | None = None) -> Recipe:
    """``recipe`` with every gene that cannot act at its default.

    Args:
        recipe: any.
        described: what the description has the data's uncertain marks count as, each policy once;
            empty where there are no such marks, None where nobody knows.
    """
    recipe = as_trained(recipe)
    idle: dict[str, Any] = {
        f.name: f.default
        for f in fields(Recipe)
        for gene, values in f.metadata.get("acts", {}).items()
        if not _acts(getattr(recipe, gene), values)
    }
    if recipe.train_seed >= 1:  # every image is drawn once an epoch, whatever the weights
        idle |= {
            "balance": Recipe.balance,
            "ratios": Recipe.ratios,
            "epoch_size": Recipe.epoch_size,
        }
    if recipe.patience >= recipe.epochs - 1:  # the first epoch is always the best so far
        idle["patience"] = Recipe.patience
    if recipe.epochs < 2:  # the second half of the epochs is at full size
        idle["start_size"] = Recipe.start_size
    if described is not None and set(described) <= {recipe.uncertain}:
        idle["uncertain"] = Recipe.uncertain
    if recipe.pseudo == "mean_teacher":
        idle["ema"] = averaged(recipe)
    if not averaged(recipe):
        idle["ema_norms"] = Recipe.ema_norms
    return replace(recipe, **idle)


def identity(recipe: Recipe, described: Sequence[str] | None = None) -> str:
    """A text that is the same for recipes which train the same; ``described``: see `effective`."""
    found = effective(recipe, described)
    return json.dumps({f.name: _plain(getattr(found, f.name), f.metadata) for f in fields(Recipe)})


def _plain(value: Any, limits: Mapping[str, Any]) -> Any:
    """One gene's value in one way of writing it: 5 is 5.0, and 224 is "224x224"."""
    if limits.get("size"):
        return size_of(value)
    if isinstance(value, tuple):
        return [_plain(item, {}) for item in value]
    return value if isinstance(value, str) else f"{float(value) + 0.0:.{SIGNIFICANT_DIGITS}g}"
