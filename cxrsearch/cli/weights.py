"""The command that says what would be loaded of a file of weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxrsearch.errors import InputError
from cxrsearch.study.options import PATH_TYPE, example

if TYPE_CHECKING:
    from cxrsearch.learn.networks.matching import Matches
    from cxrsearch.learn.networks.weights.report import Loaded

REFUSED_CODE = 1
"""The exit code where nothing may begin with the file."""


@click.command(
    epilog=example(
        "cxrsearch weights moco.pth.tar --network resnet50",
        "cxrsearch weights backbone.safetensors",
        "cxrsearch weights backbone.safetensors --network densenet121 --json",
    )
)
@click.argument("file", type=PATH_TYPE)
@click.option("--network", metavar="NAME", help="A name that the gene model takes. [default: "
              "those that it fits are named]")  # fmt: skip
@click.option("--partial", is_flag=True, help="As init partial:FILE takes it: whatever fits.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def weights(file: Path, network: str | None, partial: bool, as_json: bool) -> None:
    """Say what a network would load of a file of weights, by tensors and by bytes.

    Whose file it is, which prefix goes and which names change, what becomes of stem and head, what
    is left out. Exit code 1 where it is refused. Nothing in the file is run.
    """
    from cxrsearch.learn.networks.architectures import NETWORKS, TIMM
    from cxrsearch.learn.networks.matching import matching, timm_names
    from cxrsearch.learn.networks.models import held_against
    from cxrsearch.learn.networks.weights.reading import read_weights
    from cxrsearch.learn.recipe import Recipe

    if network is not None:
        _check_network(network)
    found = read_weights(file)
    if network is not None:
        loaded = held_against(Recipe(model=network), found, partial)
        ours = found.labels is not None
        click.echo(_json_of(network, loaded) if as_json else _in_words(network, loaded, ours))
        refused = loaded.problem is not None
    else:
        every = matching(found, [Recipe(model=name) for name in NETWORKS])
        if not every.fits:
            others = (Recipe(model=f"{TIMM}{name}") for name in timm_names(every.family))
            also = matching(found, others, first=True)
            every = every._replace(fits=also.fits, refused={**every.refused, **also.refused})
        click.echo(_every_json(every) if as_json else _every_in_words(file, every))
        refused = not every.fits
    if refused:
        sys.exit(REFUSED_CODE)


def _check_network(name: str) -> None:
    from cxrsearch.learn.recipe import gene_limits
    from search.space.values import limit_problem

    if problem := limit_problem(name, gene_limits()["model"]):
        raise InputError(f"--network {problem}")


def _json_of(network: str, loaded: Loaded) -> str:
    return json.dumps({"network": network, **loaded.to_dict()}, indent=2)


def _every_json(found: Matches) -> str:
    fits = {name: loaded.to_dict() for name, loaded in found.fits.items()}
    record = {"family": found.family, "fits": fits, "refused": dict(found.refused)}
    return json.dumps(record, indent=2)


def _in_words(network: str, loaded: Loaded, ours: bool) -> str:
    """What would be loaded, for people; a head is kept for data of its labels, or as many."""
    which = "the same" if ours else str(loaded.outputs)
    kept = f"; kept for data of {which} labels" if loaded.outputs else ""
    place = loaded.place or "at the top"
    prefix = f", without the prefix {loaded.prefix!r}" if loaded.prefix else ""
    renamed = f"; {loaded.renamed} renamed" if loaded.renamed else ""
    facts = {
        "file": loaded.file,
        "recognised": loaded.kind,
        "where": f"{place}{prefix}{renamed}",
        "backbone": f"{loaded.amount} ({loaded.bytes[0] / 1e6:,.1f} MB)",
        "stem": loaded.stem,
        "head": f"{loaded.head}{kept}",
        "left out": ", ".join(loaded.left_out) or "nothing",
        "differences": loaded.differences,
        "near": "; ".join(loaded.near),
    }
    lines = [f"{name:<12}{text}" for name, text in facts.items() if text]
    lines += [f"note: {note}" for note in loaded.notes]
    return "\n".join([*lines, _verdict(network, loaded)])


def _verdict(network: str, loaded: Loaded) -> str:
    if loaded.problem is not None:
        return f"refused: {loaded.problem}"
    init = f"{'partial:' * loaded.partial}{loaded.file}"
    return f"fits {network}: --set model={network} --set init={init}"


def _every_in_words(file: Path, found: Matches) -> str:
    from cxrsearch.data.labels.names import some_names

    lines = [f"{file}: family {found.family or 'not known here'}"]
    lines += [f"{_verdict(name, loaded)} ({loaded.amount})" for name, loaded in found.fits.items()]
    if found.fits:
        return "\n".join(lines)
    names = some_names(list(found.refused))
    way = f"`cxrsearch weights {file} --network NAME` says what is missing"
    return "\n".join([*lines, f"refused by {names}; {way}"])
