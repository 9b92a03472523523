"""Is the corrected figure of the best model right? ``python -m benchmarks.optimism COMMAND``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from .cells import collect
from .judging import Repetition, findings, keep, show

HERE = Path(__file__).resolve().parents[2]
LOGITS = HERE.parent / "shared" / "nih-logits" / "fit_half.npz"
RESULTS = HERE / "results" / "optimism"

console = Console() if Console().is_terminal else Console(width=170)

OUT = click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
DRAWS = click.option("--draws", default=1000, show_default=True, help="Of the correction.")
ALTERNATIVES = click.option(
    "--alternatives", default=100, show_default=True,
    help="In so many repetitions the methods not taken are asked too; they take long.",
)  # fmt: skip
ALTERNATIVE_DRAWS = click.option("--alternative-draws", default=200, show_default=True)


@click.group()
def main() -> None:
    """Corrected values and intervals of the best of many models, beside the truth."""


def _asked(number: int, alternatives: int, draws: int) -> int:
    """Draws of the methods not taken, in this repetition."""
    return draws if number < alternatives else 0


def _cells(out: Path, command: str, name: str, draws: int) -> Path:
    plain = "".join(letter if letter.isalnum() else "-" for letter in name)
    return out / "cells" / f"{command}-{plain}-{draws}.jsonl"


@main.command()
@click.option("--file", type=click.Path(path_type=Path), default=LOGITS, show_default=True)
@click.option("--repetitions", default=2000, show_default=True)
@click.option("--patients", multiple=True, type=int, default=(150, 300, 600), show_default=True)
@click.option("--one-image", is_flag=True, help="One image of each patient, not all.")
@click.option("--subsets", is_flag=True, help="Fewer models and labels, too, at 300 patients.")
@DRAWS
@ALTERNATIVES
@ALTERNATIVE_DRAWS
@OUT
def logits(
    file: Path, repetitions: int, patients: tuple[int, ...], one_image: bool, subsets: bool,
    draws: int, alternatives: int, alternative_draws: int, out: Path,
) -> None:  # fmt: skip
    """Real models on real patients, drawn with replacement out of all."""
    from .logits import Population, Situation, of_models, one

    command = "logits" + ("-one-image" if one_image else "") + ("-subsets" if subsets else "")
    population = Population.read(file, one_image)
    models, _, labels = population.scores.shape
    situations = [Situation(number, models, labels) for number in patients]
    if subsets:
        situations = [Situation(300, number, labels) for number in (5, 10, 20)]
        situations += [Situation(300, models, number) for number in (3, 1)]
        situations += [Situation(300, 2 * models, labels, 0.3)]
    found = []
    for each in situations:
        name = f"{each.patients} patients, {each.models} models, {each.labels} labels"
        name += ", noisy copies" if each.jitter else ""
        models_of = of_models(population, each.jitter)

        def make(number: int, each: Situation = each, whom: Population = models_of) -> Repetition:
            asked = _asked(number, alternatives, alternative_draws)
            return one(whom, each, number, draws, asked)

        cells = _cells(out, command, name, draws)
        found += findings(name, collect(cells, name, make, repetitions))
    images = "one image a patient" if one_image else "all images of each patient"
    show(console, f"Real logits, {images}, {draws:,} draws", found)
    keep(out, command, {"file": file.name, "draws": draws}, found)


@main.command()
@click.option("--repetitions", default=1000, show_default=True)
@click.option("--others", default=1000, show_default=True, help="Of the other situations.")
@DRAWS
@ALTERNATIVES
@ALTERNATIVE_DRAWS
@OUT
def curves(
    repetitions: int, others: int, draws: int, alternatives: int, alternative_draws: int, out: Path
) -> None:
    """Simulated searches: recipes, seeds, epochs, early stops; the truth in closed form."""
    from .curves import Search, one

    searches = {
        "100 recipes x 12 epochs, 300 patients": Search(),
        "the same, 150 patients": Search(patients=150),
        "recipes that differ more": Search(recipes=0.3),
        "30 recipes x 12 epochs, 3 labels": Search(trials=30, labels=3),
    }
    found = []
    for number, (name, search) in enumerate(searches.items()):
        count = others if number else repetitions

        def make(number: int, search: Search = search) -> Repetition:
            return one(search, number, draws, _asked(number, alternatives, alternative_draws))

        cells = _cells(out, "curves", name, draws)
        found += findings(name, collect(cells, name, make, count))
    show(console, f"Simulated searches, {draws:,} draws", found)
    settings = {name: asdict(search) for name, search in searches.items()}
    keep(out, "curves", {"draws": draws, **settings}, found)


@main.command()
@click.option("--searches", default=400, show_default=True)
@click.option("--val", multiple=True, type=int, default=(200,), show_default=True)
@click.option("--trials", default=20, show_default=True)
@click.option("--drawn", type=click.Path(path_type=Path), help="Where drawn images are kept.")
@DRAWS
@ALTERNATIVES
@ALTERNATIVE_DRAWS
@OUT
def phantom(
    searches: int, val: tuple[int, ...], trials: int, drawn: Path | None, draws: int,
    alternatives: int, alternative_draws: int, out: Path,
) -> None:  # fmt: skip
    """Whole searches by the engine on drawn X-rays, judged by 20,000 others."""
    import optuna

    from .drawn import JUDGE_SEED, JUDGES, POOL, POOL_SEED
    from .drawn import drawn as images
    from .phantom import EPOCHS, Judge, Setup, one

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = drawn or out / "drawn"
    pool, judge = images(folder, POOL, POOL_SEED), Judge.of(images(folder, JUDGES, JUDGE_SEED))
    found = []
    for patients in val:
        setup = Setup(val=patients, trials=trials)

        def make(number: int, setup: Setup = setup) -> Repetition:
            asked = _asked(number, alternatives, alternative_draws)
            return one(pool, judge, setup, number, draws, asked)

        name = f"{trials} trials x {EPOCHS} epochs, {patients} patients"
        cells = _cells(out, "phantom", name, draws)
        found += findings(name, collect(cells, name, make, searches))
    show(console, f"Searches on the phantom, {JUDGES:,} images as judge, {draws:,} draws", found)
    keep(out, "phantom", {"draws": draws, "trials": trials}, found)


@main.command()
@click.option("--rounds", default=5, show_default=True)
@DRAWS
@OUT
def cost(rounds: int, draws: int, out: Path) -> None:
    """Seconds of the correction, as ratios to a bootstrap of one model and to an epoch."""
    import json

    from search.files import write_text

    from .cost import measured, table

    found = measured((100, 1000), draws, rounds)
    console.print(table(found, draws))
    rows = {
        name: {kind: asdict(figure) for kind, figure in figures.items()}
        for name, figures in found.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "cost.json", json.dumps({"draws": draws, "found": rows}, indent=1))


if __name__ == "__main__":
    main()
