"""``README.md`` of a model's folder: its card for people, out of ``model.json``."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from search.files import shown

from .promise import promised_in, promises

README = "README.md"


def readme(card: Mapping[str, Any]) -> str:
    """The text, as Markdown.

    Args:
        card: as `cxrsearch.model.card.make_card` makes it.
    """
    recipe, training, labels = card["recipe"], card["training"], card["labels"]
    title = f"# {_plain(recipe['model'])}: {len(labels)} label{'s' * (len(labels) != 1)}"
    use = str(card["intended_use"])
    parts = [
        title,
        f"{use[:1].upper()}{use[1:]}.",
        f"Predicts the probability of {', '.join(map(_plain, labels))}.",
        "```sh\ncxrsearch predict MODEL IMAGES --out predictions.csv\n"
        "cxrsearch evaluate MODEL    # on the test part; every look is counted\n```",
        *_worth(card),
        *_training(card, training),
        "`model.json` has the recipe, how pixels reach the network, and what the data were.",
    ]
    return "\n\n".join(parts) + "\n"


def _worth(card: Mapping[str, Any]) -> list[str]:
    """What it is worth by validation; nothing where that isn't known."""
    said = promises(promised_in(card))
    if not said:
        return []
    rows = [
        (one.name, f"{one.value:.3f}",
         f"{one.interval[0]:.3f} to {one.interval[1]:.3f}" if one.interval else "", one.words)
        for one in said
    ]  # fmt: skip
    sentences = card["validation"].get("sentences") or []
    return [
        "## What it is worth",
        _table(("mean AUROC", "", "95% interval", ""), rows),
        *([" ".join(map(_plain, sentences))] if sentences else []),
        "These are promises, from the patients that it was chosen by. The test part has not been "
        "looked at for this page.",
    ]


def _training(card: Mapping[str, Any], training: Mapping[str, Any]) -> list[str]:
    """On what it was trained, and for how long."""
    if not training:
        return []
    what = [f"on {_plain(training.get('rows', 'what is not recorded'))}"]
    if "images" in training:
        what.append(f"{training['images']:,} images")
    if "epochs" in training:
        what.append(f"{training['epochs']} of {card['recipe']['epochs']} epochs")
    if "seed" in training:
        what.append(f"seed {training['seed']}")
    found = ["## How it was trained", f"Trained {', '.join(what)}."]
    counts = training.get("labels")
    if isinstance(counts, Mapping) and counts:
        columns = ("positive", "negative", "uncertain", "unknown")
        rows = [(name, *(str(each.get(c, "")) for c in columns)) for name, each in counts.items()]
        found.append(_table(("label", *columns), rows))
    notes = [f"- {_plain(note)}" for note in training.get("notes") or []]
    return [*found, *(["\n".join(notes)] if notes else [])]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    return _plain(value).replace("|", "\\|")


def _plain(value: object) -> str:
    """Text that is no markup, in one line."""
    return html.escape(shown(str(value)), quote=False)
