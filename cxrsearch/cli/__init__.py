"""The command line. Commands are thin: they parse, call one function, and print."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from cxrsearch.errors import quoted
from cxrsearch.report.cli import report
from cxrsearch.study import options
from cxrsearch.study.options import PATH_TYPE, STUDY, example
from cxrsearch.systems import COMMAND, modules
from cxrsearch.version import __version__
from search.errors import SearchError
from search.stopping import Stopped, raise_stopped, stopping

from . import ablate, dataset, model, spaces_and_phantom, train, weights


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example(
        "cxrsearch ga --generations 20 --data my-xrays",
        "cxrsearch optuna --trials 100 --sampler tpe --data my-xrays",
        "cxrsearch dashboard results/ga-20260101-120000",
    ),
)
@click.version_option(__version__, prog_name="cxrsearch")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find the training recipe that gives the best mean AUROC on a small chest X-ray set.

    A search lives in one folder, its study. It can be killed and resumed at any moment, looked at
    while it runs, and ends in a model that predicts. Research use only.
    """
    from cxrsearch.data.sources.telling import telling

    context.with_resource(telling(_note))


@cli.command(
    epilog=example(
        "cxrsearch ga --generations 4 --population 6",
        "cxrsearch ga --data my-xrays --time-budget 8h --study results/first",
        "cxrsearch ga --data my-xrays --generations 20 --dry-run",
    )
)
@options.search_options(options.genetic_options)
def ga(study: str | None, dry_run: bool, **given: Any) -> None:
    """Search with the genetic algorithm."""
    if given["generations"] is None and given["trials"] is None and not given["time_budget"]:
        given["generations"] = 5
    _search(options.settings_from(given, sampler="genetic"), study, dry_run)


@cli.command(
    epilog=example(
        "cxrsearch optuna --trials 100 --data my-xrays",
        "cxrsearch optuna --trials 50 --sampler gp --space full",
    )
)
@options.search_options(options.optuna_options)
def optuna(study: str | None, dry_run: bool, **given: Any) -> None:
    """Search with one of Optuna's samplers."""
    if given["trials"] is None and not given["time_budget"]:
        given["trials"] = 50
    _search(options.settings_from(given), study, dry_run)


def _search(settings: Any, study: str | None, dry_run: bool) -> None:
    from cxrsearch.study.experiment import check_room, start
    from cxrsearch.study.folder import new_folder
    from cxrsearch.study.prepare import prepare
    from cxrsearch.study.printing import describe, describe_projection

    folder = new_folder(settings, study)
    prepared = prepare(settings, click.echo)
    click.echo(describe(prepared))
    check_room(prepared, folder)
    if dry_run:
        click.echo(describe_projection(prepared))
        return
    click.echo(f"study: {folder}   (watch it: cxrsearch dashboard {quoted(folder)})")
    _run_to_the_end(lambda: start(prepared, folder), folder)


def _run_to_the_end(run: Any, folder: Path) -> None:
    from cxrsearch.show.status import advice, status, status_text

    def way() -> str:
        if not (folder / "study.yaml").exists():
            return "no trial had begun; the same command begins again"
        return f"go on with: cxrsearch resume {quoted(folder)}"

    with options.goes_on(way):
        run()
    click.echo(status_text(status(folder)))
    click.echo(advice(folder))


def _note(line: str) -> None:
    """Beside the result, which goes to scripts."""
    click.echo(line, err=True)


@cli.command(epilog=example("cxrsearch resume results/first"))
@STUDY
@options.resume_options
def resume(study: Path, **changes: Any) -> None:
    """Go on with a study that was stopped, or killed."""
    from cxrsearch.study.experiment import resume as go_on

    _run_to_the_end(lambda: go_on(study, on_note=_note, **changes), study)


@cli.command(epilog=example("cxrsearch extend results/first --trials 50"))
@STUDY
@click.option("--trials", type=int, required=True, help="Trials to add.")
@options.resume_options
def extend(study: Path, trials: int, **changes: Any) -> None:
    """Add trials to a study."""
    from cxrsearch.study.experiment import extend as add

    _run_to_the_end(lambda: add(study, trials, on_note=_note, **changes), study)


@cli.command(
    epilog=example(
        "cxrsearch confirm results/first",
        "cxrsearch confirm results/first --top 5 --repeats 6 --time-budget 8h",
    )
)
@STUDY
@options.confirm_options
@options.resume_options
def confirm(study: Path, top: int | None, repeats: int, **changes: Any) -> None:
    """Train a study's most promising recipes again, and choose the winner by that.

    Each rerun has a fresh seed and a fresh split of train + validation, by patient; the test part
    stays untouched. There are K times R in all: who is surely worse drops out early, and the rest
    go to those between which the choice lies. Goes on where it was cut off (as does `cxrsearch
    resume`), and with larger numbers adds to what is there.
    """
    from cxrsearch.study.experiment import confirm as train_again

    _run_to_the_end(lambda: train_again(study, top, repeats, on_note=_note, **changes), study)


@cli.command(
    epilog=example("cxrsearch status results/first", "cxrsearch status results/first --json")
)
@STUDY
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(study: Path, as_json: bool) -> None:
    """How a study stands: trials by state, and the best so far. Of a folder of studies, each."""
    from cxrsearch.show import status as view

    if found := view.studies_in(study):
        records = view.statuses(found)
        click.echo(json.dumps(records, indent=2) if as_json else view.statuses_text(records))
        return
    record = view.status(study)
    click.echo(json.dumps(record, indent=2) if as_json else view.status_text(record))


@cli.command(
    epilog=example(
        "cxrsearch dashboard results/first --out first.html",
        "cxrsearch dashboard results/first --serve",
    )
)
@STUDY
@click.option("--out", type=PATH_TYPE, help="HTML file. [default: STUDY/dashboard.html]")
@click.option("--serve", is_flag=True, help="Serve it on this machine and keep it up to date.")
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True)
def dashboard(study: Path, out: Path | None, serve: bool, port: int) -> None:
    """Write the search's history as one offline HTML page."""
    from cxrsearch.show.dashboard import dashboard as write

    if serve:
        from cxrsearch.show.serve import serve as run_server

        run_server(study, port)
        return
    click.echo(write(study, out or study / "dashboard.html"))


@cli.command(epilog=example("cxrsearch compare results/ga results/tpe --out compare.html"))
@click.argument("studies", nargs=-1, required=True, type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, help="Also write a page.")
def compare(studies: tuple[Path, ...], out: Path | None) -> None:
    """Put studies side by side."""
    from cxrsearch.show.compare import compare_text
    from cxrsearch.show.comparison import compare_page

    click.echo(compare_text(list(studies)))
    if out is not None:
        click.echo(compare_page(list(studies), out))


@cli.command(epilog=example("cxrsearch export results/first --out trials.csv"))
@STUDY
@click.option("--out", type=PATH_TYPE, help="CSV file. [default: STUDY/trials.csv]")
def export(study: Path, out: Path | None) -> None:
    """Write every trial as a line of CSV."""
    from cxrsearch.show.export import export_csv

    click.echo(export_csv(study, out or study / "trials.csv"))


for command in (
    spaces_and_phantom.spaces,
    spaces_and_phantom.phantom,
    train.train,
    model.evaluate,
    model.predict,
    report,
    ablate.ablate,
    dataset.dataset,
    weights.weights,
):
    cli.add_command(command)


def _add_systems() -> None:
    """Every system's commands; one that is named ``group command`` joins that group."""
    found = {words: made for module in modules(COMMAND) for words, made in module.COMMANDS.items()}
    for words in sorted(found, key=lambda words: words.count(" ")):
        *above, name = words.split()
        group: Any = cli
        for part in above:
            group = group.commands[part]
        group.add_command(found[words], name)


_add_systems()

MOST_PROBLEMS = 20
"""Problems that are shown: they fit on a screen."""


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 weights refused, 2 bad input, 128 + N signal N."""
    _print_anything()
    with stopping(raise_stopped) as stop:
        try:
            cli.main(standalone_mode=False, prog_name="cxrsearch")
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except SearchError as error:
            for problem in error.problems[:MOST_PROBLEMS]:
                click.echo(f"error: {problem}", err=True)
            if (more := len(error.problems) - MOST_PROBLEMS) > 0:
                click.echo(f"error: ... and {more:,} more; mend these first", err=True)
            sys.exit(2)
        except (KeyboardInterrupt, click.Abort) as error:
            cause = error if isinstance(error, Stopped) else error.__cause__
            sys.exit(cause.exit_code if isinstance(cause, Stopped) else Stopped().exit_code)
        except OSError as error:
            if stop.number is not None:  # a terminal that has gone cannot be told anything
                sys.exit(Stopped(stop.number).exit_code)
            _system_error(error)


def _print_anything() -> None:
    """What a stream cannot encode is escaped: a file's name must not end what has been computed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _system_error(error: OSError) -> None:
    """Full disks, closed pipes and forbidden places are no bugs: say so in a line."""
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        sys.exit(0)
    name = error.filename2 or error.filename  # of a file that cannot be renamed, the wanted name
    place = f"{name}: " if name else ""
    click.echo(f"error: {place}{error.strerror or error}", err=True)
    sys.exit(2)
