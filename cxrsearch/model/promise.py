"""What a model is worth by validation: observed, corrected, confirmed; and its card for people."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from search.files import shown
from search.reading import number, whole

README = "README.md"
"""Of a model's folder."""


class Promise(NamedTuple):
    """One of the figures.

    Args:
        name: ``observed``, ``corrected`` or ``confirmed``.
        value: mean AUROC.
        interval: 95%; None: not known.
        words: what it is of.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    words: str


def promised_in(card: Mapping[str, Any]) -> dict[str, Any]:
    """What validation promises of a model, out of its card; what isn't there is left out.

    Returns:
        ``trial`` and ``observed``, the value of its trial as it was seen, with ``selected_from``,
        how many trials it was chosen among; ``best``: the number and value of the trial that was
        seen best, where it is another; ``corrected``: that best value without the luck of having
        been chosen; ``confirmed``: what reruns on fresh splits say, with ``reruns``, how many, of
        how many ``finalists``. Of the three values ``<name>_interval`` (95%), where it is known.
    """
    said, study = card.get("validation", {}), card["study"]  # an ensemble's need not have one
    found: dict[str, Any] = {}
    for name, key in (("observed", "value"), ("corrected",) * 2, ("confirmed",) * 2):
        value = number(said.get(key), 0, 1)
        if value is None:
            continue
        found[name] = value
        bounds = said.get("interval" if key == "value" else f"{key}_interval")
        if isinstance(bounds, list) and len(bounds) == 2 and None not in map(number, bounds):
            found[f"{name}_interval"] = tuple(bounds)
    if found:
        trial = whole(study.get("trial"), 0)
        counts = {"trial": trial, **{n: whole(said.get(n), 0) for n in ("selected_from", "reruns")}}
        found |= {name: count for name, count in counts.items() if count is not None}
        if isinstance(finalists := said.get("finalists"), list):
            found["finalists"] = len(finalists)
        best = said.get("best") if isinstance(said.get("best"), dict) else {}
        seen, which = number(best.get("value"), 0, 1), whole(best.get("trial"), 0)
        if seen is not None and which not in (None, trial):
            found["best"] = {"trial": which, "value": seen}
    return found


def promises(said: Mapping[str, Any]) -> list[Promise]:
    """The figures that are in what `promised_in` found, each with what it is of."""
    best, trial = said.get("best"), f"trial {said['trial']} " if "trial" in said else ""
    count = f", chosen from {said.get('selected_from')} trials"
    of_best = f"; of trial {best['trial']}, {best['value']:.3f} as observed" if best else ""
    of = f" of {said['finalists']} finalists" if said.get("finalists", 0) > 1 else ""
    words = {
        "observed": f"{trial}on validation{count * (said.get('selected_from', 0) > 1)}",
        "corrected": f"without the luck of that choice{of_best}",
        "confirmed": f"by {said.get('reruns', 0)} reruns{of} on fresh seeds and splits",
    }
    return [
        Promise(name, said[name], said.get(f"{name}_interval"), text)
        for name, text in words.items()
        if name in said
    ]


def readme(card: Mapping[str, Any]) -> str:
    """The card of a model as Markdown, for `README`.

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
        *_viewed(card),
        *_worth(card),
        *_training(card, training),
        "`model.json` has the recipe, how pixels reach the network, and what the data were.",
    ]
    return "\n\n".join(parts) + "\n"


def ensemble_readme(card: Mapping[str, Any]) -> str:
    """The card of an ensemble as Markdown, for `README`.

    Args:
        card: as `cxrsearch.model.ensemble_folder.save_ensemble` makes it.
    """
    members, ensemble = card["members"], card["ensemble"]
    validation = card.get("validation", {})
    said = {str(one.get("name")): one for one in validation.get("members", [])}
    rows = []
    for place, name in zip(members, ensemble["members"], strict=True):
        one = said.get(name, {})
        value, share = number(one.get("value"), 0, 1), number(one.get("share"), 0, 1)
        figures = ("" if value is None else f"{value:.3f}", "" if share is None else f"{share:.0%}")
        rows.append((place, *figures, str(one.get("why", ""))))
    use, where = str(card["intended_use"]), f"{card.get('training', {}).get('rows', '')}"
    parts = [
        f"# Ensemble of {len(members)} models: {len(ensemble['labels'])} label"
        f"{'s' * (len(ensemble['labels']) != 1)}",
        f"{use[:1].upper()}{use[1:]}.",
        f"Predicts the probability of {', '.join(map(_plain, ensemble['labels']))}.",
        "```sh\ncxrsearch predict ENSEMBLE IMAGES --out predictions.csv\n"
        "cxrsearch evaluate ENSEMBLE    # on the test part; every look is counted\n```",
        *_viewed(card),
        *_worth(card),
        "## Its members",
        f"Weighted by: {_plain(ensemble['method'])}"
        + (f". Each was trained on {_plain(where)}." if where else "."),
        _table(("member", "validation", "share", "why"), rows),
        *([_plain(validation["caution"])] if validation.get("caution") else []),
        "`ensemble.json` has the weights and what was estimated of them.",
    ]
    return "\n\n".join(parts) + "\n"


def _viewed(card: Mapping[str, Any]) -> list[str]:
    """How it looks at an image, where that is more than once."""
    if card.get("tta", "none") == "none":
        return []
    return [
        f"Says the mean over several views of an image (`{_plain(card['tta'])}`); with "
        "`--tta none` it looks once, which is faster."
    ]


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
        _table(("", "mean AUROC", "95% interval", ""), rows),
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
