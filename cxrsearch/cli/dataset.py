"""The command that says what a data set is taken for, and writes it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.errors import InputError, quoted
from cxrsearch.study.options import PATH_TYPE, example, option_of

if TYPE_CHECKING:
    from cxrsearch.data.sources.words import Recognised

OUT = Path("dataset.yaml")


@click.command(
    epilog=example(
        "cxrsearch dataset my-xrays",
        "cxrsearch dataset train.csv --images jpegs --out my-xrays/dataset.yaml",
        "cxrsearch dataset my-xrays/dataset.yaml --json",
    )
)
@click.argument("source", type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, help="Where to write what was recognised. "
              "[default: dataset.yaml here, unless SOURCE has one, or one is here]")  # fmt: skip
@option_of(DataRequest, "labels", type=PATH_TYPE)
@option_of(DataRequest, "images", type=PATH_TYPE)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option(
    "--json", "as_json", is_flag=True, help="For scripts; writes a file with --out alone."
)
def dataset(
    source: Path,
    out: Path | None,
    labels: Path | None,
    images: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Say what a folder, a label table or a dataset.yaml is taken for.

    Which format and why, which column says what, the labels with their counts, what is ignored.
    Writes it as a commented dataset.yaml, to be corrected and given as --data.
    """
    from cxrsearch.data.look import look

    if out is not None:
        _check_out(out, force)
    found = look(source, labels, images)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else in_words(found))
    if out is not None:
        _write(found, out)
        click.echo(f"written: {out}; use it with --data {quoted(out)}", err=as_json)
    elif not as_json:
        click.echo(_by_default(found, force))


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not force:
        raise InputError(f"--out {out}: is there already; --force overwrites it")
    if not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.absolute().parent}; make it first")


def _by_default(found: Recognised, force: bool) -> str:
    """Write to `OUT` where that is wanted; a line on it."""
    if found.source.stated is not None:
        return ""
    if OUT.exists() and not force:
        return f"{OUT} is here already and stays as it is; --out FILE writes another, --force this"
    try:
        _write(found, OUT)
    except OSError as error:
        return f"{OUT} cannot be written here ({error.strerror}); name a place with --out FILE"
    return f"written: {OUT}; change what is wrong, and use it with --data {OUT}"


def _write(found: Recognised, out: Path) -> None:
    from cxrsearch.data.sources.written import yaml_text
    from search.files import write_text

    def beside(label: str) -> str:
        counts = found.labels.get(label, {})
        return ", ".join(f"{count:,} {mark}" for mark, count in counts.items() if count)

    base = out.absolute().parent
    write_text(out, yaml_text(found.source.description, base, beside))


def _by_reason(found: Recognised) -> dict[str, list[str]]:
    """Why columns are ignored, and which."""
    reasons: dict[str, list[str]] = {}
    for name, why in found.columns.items():
        reasons.setdefault(why, []).append(name)
    return reasons


def _columns(names: list[str]) -> str:
    return f"column{'s' * (len(names) > 1)} {', '.join(map(repr, names))}"


def in_words(found: Recognised) -> str:
    """What was recognised, for people."""
    from rich.markup import escape
    from rich.table import Table

    from cxrsearch.data.labels.tables import COUNTED
    from cxrsearch.show.plain_text import to_text

    description = found.source.description
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column()
    facts.add_column(overflow="fold")

    def fact(name: str, text: str) -> None:
        facts.add_row(name, escape(text))

    tables = ", ".join(str(path) for path in description.table)
    fact("data", found.source.label)
    fact("format", f"{description.format}{description.reason and f': {description.reason}'}")
    fact("table", tables or "none")
    fact("images", f"{description.images}: {found.found:,} of {found.images:,} are there")
    for role, column in description.columns.items():
        fact(role, column if isinstance(column, str) else f"from the path, by {column.regex}")
    fact("patients", f"{found.patients:,}")
    split = found.split
    fact("split", "drawn by patient" if split is None else
         ", ".join(f"{part} {count:,}" for part, count in split.items()))  # fmt: skip
    for column, values in description.filter.items():
        fact("kept", f"{column} is {', '.join(values)}")
    policies = {
        "uncertain": description.uncertain or {"": "ignore"},
        "blank": description.blank,
    }
    for name, policy in policies.items():
        if policy:
            fact(name, ", ".join(f"{who}: {what}" if who else what for who, what in policy.items()))
    marks = Table(box=None, pad_edge=False)
    marks.add_column("label", overflow="fold")
    for mark in COUNTED:
        marks.add_column(mark, justify="right")
    for label, counts in found.labels.items():
        marks.add_row(escape(label), *(f"{counts[mark]:,}" for mark in COUNTED))
    ignored = [
        *(f"ignored: {_columns(names)}: {why}" for why, names in _by_reason(found).items()),
        *(f"ignored: {line}" for line in found.files),
        *(f"note: {line}" for line in found.notes),
    ]
    return "\n".join([to_text(facts), "", to_text(marks), "", *ignored])
