"""What ``cxrsearch ensemble`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from cxrsearch.show.plain_text import to_text


def describe_ensemble(found: Mapping[str, Any]) -> str:
    """Members, methods side by side, and labels, as text.

    Args:
        found: as from `cxrsearch.systems.ensemble.combine.Combined.to_dict`.
    """
    last = found["estimates"][-1]
    chosen = f" (auto chose {last['chosen']})" if last["chosen"] != last["method"] else ""
    kind = "z-scores of logits" if found["scale"] == "z" else f"{found['scale']} scores"
    notes = "".join(f"\nnote: {note}" for note in found["notes"])
    return "\n".join(
        (
            f"method: {last['method']}{chosen}, weights on {kind}",
            f"{len(found['members'])} members of {found['selected_from']}, fitted on "
            f"{found['images']} images of {found['patients']} patients",
            to_text(_members(found)),
            "",
            f"mean AUROC; nested: on held-out patients ({found['folds']} folds), the choice of "
            "the single model included;",
            "naive: on the images that the weights were selected on, so too high",
            to_text(_methods(found)),
            found["caution"],
            "",
            "AUROC by label, on held-out patients",
            to_text(_labels(found)) + notes,
        )
    )


def _members(found: Mapping[str, Any]) -> Table:
    table = Table(box=None)
    members = sorted(found["members"], key=lambda one: -one["share"])
    trials = all("value" in one for one in members)
    table.add_column("trial" if trials else "member", justify="right" if trials else "left")
    for column in ("share of the weights", *(("validation", "weights") if trials else ())):
        table.add_column(column, justify="right")
    for one in members:
        more = (
            (f"{one['value']:.4f}", "kept" if one["weights_kept"] else "to be trained again")
            if trials
            else ()
        )
        table.add_row(one["name"], f"{one['share']:.1%}", *more)
    return table


def _methods(found: Mapping[str, Any]) -> Table:
    table = Table(box=None)
    table.add_column("")
    for column in ("nested", "95% interval", "over the single", "95%, paired", "naive"):
        table.add_column(column, justify="right")
    for number, one in enumerate(found["estimates"]):
        gain = (f"{one['gain']:+.4f}", _signed(one["gain_interval"])) if number else ("", "")
        name = "best single" if not number else one["method"]
        low, high = one["interval"]
        table.add_row(
            name, f"{one['nested']:.4f}", f"{low:.4f} to {high:.4f}", *gain, f"{one['naive']:.4f}"
        )
    return table


def _labels(found: Mapping[str, Any]) -> Table:
    table = Table(box=None)
    table.add_column("")
    for column in ("positives", "best single", "ensemble", "difference"):
        table.add_column(column, justify="right")
    single, last = found["estimates"][0]["auroc"], found["estimates"][-1]["auroc"]
    for label, value in last.items():
        before, positives = single[label], str(found["positives"][label])
        if value is None or before is None:
            table.add_row(label, positives, "not defined", "", "")
            continue
        difference = f"{value - before:+.3f}"
        table.add_row(label, positives, f"{before:.3f}", f"{value:.3f}", difference)
    return table


def _signed(ends: list[float]) -> str:
    return f"{ends[0]:+.4f} to {ends[1]:+.4f}"
