"""What a methods section says of the model: network, search, choice, training, compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cxrsearch.learn.recipe import AUGMENTATION, MIXING, gene_limits
from cxrsearch.model.folder import LoadedModel
from cxrsearch.model.promise import promised_in, promises
from cxrsearch.model.suspicion.before import weights_check
from search.space import Gene

from .recorded import Recorded
from .sentence import MethodsSection, Sentence, at, listed, not_recorded, words

PURPOSE_GENES = ("model", "init", "crop", "input_size")
"""Genes that other sentences speak of."""


def model_sections(known: Recorded) -> list[MethodsSection]:
    """The sections on the model."""
    return [
        MethodsSection("network", "The network", _network(known)),
        MethodsSection("search", "The search for a recipe", _search(known)),
        MethodsSection("choice", "The choice of the model", _choice(known)),
        MethodsSection("training", "Training", _training(known)),
        MethodsSection("compute", "Seeds, versions and compute", _compute(known)),
    ]


def _network(known: Recorded) -> tuple[Sentence, ...]:
    recipe, loaded = known.first.recipe, known.evidence.opened.model
    size = ""
    if isinstance(loaded, LoadedModel):
        size = f" of {sum(p.numel() for p in loaded.network.parameters()):,} weights"
    names = Counter(part.recipe.model for part in known.parts)
    several = ", ".join(f"{words(name)} ({count})" for name, count in names.items())
    weights = dict.fromkeys(weights_check(part).sentence for part in known.parts)
    ensemble = at(known.card, "ensemble", "method")
    return (
        Sentence(
            "network.architecture",
            f"The network is {words(recipe.model)}{size}, with one output a label, each through a "
            "logistic function of its own, so that labels may occur together."
            if len(known.parts) == 1
            else f"{len(known.parts)} networks are put together: {several}; each has one output a "
            "label through a logistic function of its own.",
        ),
        Sentence("network.start", "; ".join(_upper(words(text)) for text in weights) + "."),
        Sentence(
            "network.ensemble",
            "It is a single network." if ensemble is None
            else f"They are weighted by: {words(ensemble)}.",
        ),
        Sentence(
            "network.views",
            f"A prediction is the mean of the logits over views of an image: {words(loaded.tta)}."
            if loaded.tta != "none" else "A prediction looks at an image once.",
        ),
        Sentence(
            "network.output",
            "The output is a probability from 0 to 1 a label; where it is turned into yes or no, "
            "that is by the threshold named with the figures.",
        ),
        Sentence(
            "network.whole",
            "The full model is in its folder: weights, and `model.json` with the recipe and how "
            "pixels reach the network.",
        ),
    )  # fmt: skip


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _search(known: Recorded) -> tuple[Sentence, ...]:
    view = known.view
    if view is None:
        named = known.training.get("recipe")
        why = (
            f"The recipe was taken by its name, {words(named)}, without a search"
            if named
            else (
                f"Whether and how a recipe was searched for is not recorded here: {known.why_not}"
            )
        )
        return (Sentence("search.none", f"{words(why) if not named else why}."),)
    record, asked = view.record, view.asked
    genes = record.space.genes
    rows = [(words(name), words(_range(gene))) for name, gene in genes.items()]
    sampler = at(known.study, "sampler", "name") or record.config.sampler
    reason = at(known.study, "sampler", "reason")
    counts = {name: n for name, n in record.counts().items() if n}
    outcome = ", ".join(f"{n:,} {words(name)}" for name, n in counts.items()) or "none"
    failures = Counter(row.reason for row in view.rows if row.state == "failed" and row.reason)
    why = f" Failed for: {', '.join(f'{words(r)} ({c})' for r, c in failures.items())}." * bool(
        failures
    )
    halving = record.config.halving
    return (
        Sentence(
            "search.space",
            f"Recipes were searched in the space {words(record.space.name)} (fingerprint "
            f"`{record.space.fingerprint}`), of {len(genes)} genes; all else was fixed: "
            f"{_fixed(known)}.",
            (("gene", "values"), *rows) if rows else (),
        ),
        Sentence(
            "search.sampler",
            f"The sampler {words(sampler)} proposed them"
            + (f" (chosen by itself: {words(reason)})" if reason else "")
            + f", seed {record.config.seed}; the objective was "
            f"{words(asked.get('objective', 'not recorded'))} on validation"
            + (f", over {listed(judged)}" if (judged := _objective(known)) else "") + ".",
        ),
        Sentence("search.budget", _budget(asked)),
        Sentence("search.outcomes", f"Trials by outcome: {outcome}.{why}"),
        Sentence(
            "search.stopping",
            f"Weak trials were {'paused' if halving.promote else 'stopped'} by successive halving: "
            f"the first rung after {halving.grace} epochs, each {halving.reduction} times as far "
            f"as the one before, and the best of {halving.reduction} went on."
            if halving is not None
            else "No trial was stopped early.",
        ),
    )  # fmt: skip


def _range(gene: Gene) -> str:
    """The values of a gene, in words."""
    found = gene.to_dict()
    if "choices" in found:
        values = ", ".join(map(str, found["choices"]))
    else:
        values = f"{found['low']} to {found['high']}"
        values += f" in steps of {found['step']}" if "step" in found else ""
        values += ", on a logarithmic scale" if found.get("log") else ""
    only = " and ".join(
        f"{parent} is {' or '.join(map(str, wanted))}"
        for parent, wanted in found.get("when", {}).items()
    )
    prior = f"; prior: {gene.prior_words}" * bool(gene.prior)
    return f"{values}{prior}{f'; only where {only}' if only else ''}"


def _fixed(known: Recorded) -> str:
    fixed = at(known.study, "space", "fixed")
    if not isinstance(fixed, Mapping) or not fixed:
        return "as a recipe's defaults"
    return ", ".join(f"{words(name)} {words(value)}" for name, value in fixed.items())


def _objective(known: Recorded) -> list[str]:
    named = known.card["study"].get("objective")
    labels = known.evidence.opened.model.labels
    return list(named) if isinstance(named, list) and len(named) < len(labels) else []


def _budget(asked: Mapping[str, Any]) -> str:
    said = [
        f"{words(name.replace('_', ' '))} {words(asked[name])}"
        for name in ("trials", "generations", "population", "time_budget", "confirm")
        if asked.get(name) not in (None, 0, 0.0)
    ]
    if not said:
        return not_recorded("the budget of the search")
    return f"Budget as asked for: {', '.join(said)}."


def _choice(known: Recorded) -> tuple[Sentence, ...]:
    said = promised_in(known.card)
    validation = known.card.get("validation", {})
    told = [
        f"{one.name} {one.value:.3f}"
        + (f" ({one.interval[0]:.3f} to {one.interval[1]:.3f})" if one.interval else "")
        + f", {words(one.words)}"
        for one in promises(said)
    ]
    sentences = validation.get("sentences") if isinstance(validation, Mapping) else None
    number = known.card["study"].get("trial")
    of = said.get("selected_from")
    how = (
        f"The model is of trial {number}" if number is not None else "The model is of no one trial"
    ) + (f", chosen among {of} complete trials by validation" if of and of > 1 else "")
    return (
        Sentence("choice.how", f"{how}. "
                 + " ".join(map(words, sentences if isinstance(sentences, list) else []))),
        Sentence(
            "choice.validation",
            f"Mean AUROC on validation: {'; '.join(told)}." if told
            else not_recorded("what validation said of the model"),
        ),
        Sentence(
            "choice.confirmed",
            f"The finalists were trained again {said['reruns']} times on fresh seeds and fresh "
            "splits of training and validation patients." if said.get("reruns")
            else "No finalist was trained again on other seeds or splits, so the luck of the seed "
            "and of the split is not taken off.",
        ),
    )  # fmt: skip


def _training(known: Recorded) -> tuple[Sentence, ...]:
    training, recipe = known.training, known.first.recipe
    limits = gene_limits()
    shown = {
        name: value
        for name, value in asdict(recipe).items()
        if name in limits
        and name not in PURPOSE_GENES
        and limits[name].get("group") not in (AUGMENTATION, MIXING)
        and (value != limits[name]["default"] or name in ("optimizer", "lr", "loss", "epochs",
                                                          "batch_size", "schedule"))
    }  # fmt: skip
    each = ", ".join(f"{words(name)} {words(value)}" for name, value in shown.items())
    what = [
        f"{words(name)} {words(training[name])}"
        for name in ("rows", "images", "epochs", "seed", "precision", "micro_batch")
        if training.get(name) is not None
    ]
    notes = [text for text in training.get("notes") or [] if isinstance(text, str)]
    ratios = ", ".join(f"{words(n)} {r:g}" for n, r in recipe.ratios)
    drawn = []
    if recipe.balance:
        drawn.append(f"rare labels were drawn more often (balance {recipe.balance:g})")
    if ratios:
        drawn.append(f"labels were drawn with weights {ratios}")
    if recipe.loss != "bce":
        drawn.append(f"the loss was {words(recipe.loss)}")
    seen = [part.card["also_seen"] for part in known.parts if "also_seen" in part.card]
    others = len({name for one in seen for name in one["images"]})
    unknown = sorted({str(name) for one in seen for name in one["unknown"]})
    return (
        Sentence("training.recipe", f"Recipe: {each}; genes that neither this sentence nor those "
                 "on pixels and on the network name are at their defaults."),
        Sentence("training.run", f"Trained with {', '.join(what)}." if what
                 else not_recorded("on how many images, for how long and with which seed")),
        Sentence(
            "training.imbalance",
            f"Against imbalance {'; '.join(drawn)}." if drawn
            else "Nothing was done against the imbalance of labels: images were drawn as they come "
            "and the loss weighs all alike.",
        ),
        Sentence(
            "training.others",
            (f"Beside its labelled images it has seen {others:,} others, in its starting weights' "
             "training or with pseudo-labels." if others else
             "It is not known to have seen other images than its labelled ones.")
            + (f" What {listed(unknown)} was trained on is not recorded." if unknown else ""),
        ),
        Sentence("training.notes", f"Noted while it trained: {'; '.join(map(words, notes))}."
                 if notes else "Nothing was noted while it trained."),
    )  # fmt: skip


def _compute(known: Recorded) -> tuple[Sentence, ...]:
    versions = {**(at(known.card, "versions") or {}), **(at(known.study, "versions") or {})}
    each = ", ".join(f"{words(name)} {words(version)}" for name, version in versions.items())
    seed, split = known.setting("seed"), known.splits
    seeds = [
        f"{name} {value}"
        for name, value in (
            ("study", seed), ("parts", split.seed if split else None),
            ("final training", known.training.get("seed")),
        )
        if value is not None
    ]  # fmt: skip
    return (
        Sentence("compute.seeds", f"Seeds: {', '.join(seeds)}; everything random derives from them."
                 if seeds else not_recorded("the seeds")),
        Sentence("compute.versions", f"Software: {each}." if each
                 else not_recorded("versions of the software")),
        Sentence("compute.spent", _spent(known)),
    )  # fmt: skip


def _spent(known: Recorded) -> str:
    if known.view is None:
        return not_recorded("how long the training took, and on which machine")
    rows = known.view.every_row
    seconds = sum(row.seconds or 0.0 for row in rows)
    devices = Counter(row.device for row in rows if row.device)
    where = ", ".join(f"{words(device)} ({count} trials)" for device, count in devices.items())
    images = sum(row.images_seen for row in rows)
    return (
        f"The search spent {seconds / 3600:.2g} hours of its workers and saw {images:,} images in "
        f"training; devices: {where or 'not recorded'}; precision "
        f"{words(at(known.study, 'precision') or 'not recorded')}."
    )
