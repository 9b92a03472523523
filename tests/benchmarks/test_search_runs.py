"""Cells: run, kept, gone on with; and the noise that all samplers share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import pytest

from benchmarks.search import ablation, cells, confirming, contenders, running
from benchmarks.search.fingerprint import fingerprint
from benchmarks.search.pieces import PIECES, TAUGHT, piece_of, without
from benchmarks.search.problem import noise
from benchmarks.search.problems import problem

WHERE = "ackley-noisy"


def job(name: str = "random", seed: int = 0, trials: int = 12, version: str = "1") -> running.Job:
    """A small one."""
    return running.Job(name, version, False, WHERE, seed, trials)


@pytest.fixture(scope="module")
def cell() -> cells.Cell:
    """A cell of random search."""
    return running.run_cell(job())


def test_a_cell_is_the_same_when_run_again(cell: cells.Cell) -> None:
    again = running.run_cell(job())
    assert (again.best, again.trials) == (cell.best, 12)
    assert running.run_cell(job(seed=1)).best != cell.best


def test_the_noise_depends_on_problem_seed_and_trial_only() -> None:
    def draw(*place: object) -> float:
        return float(noise(*place).normal())  # type: ignore[arg-type]

    assert draw(WHERE, 0, 3) == draw(WHERE, 0, 3)
    assert len({draw(*p) for p in [(WHERE, 0, 3), (WHERE, 0, 4), (WHERE, 1, 3), ("x", 0, 3)]}) == 4


def test_every_sampler_meets_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    met: dict[str, list[float]] = {"random": [], "genetic": []}
    this = problem(WHERE)

    for name, seen in met.items():
        plain = type(this).evaluate

        def evaluate(self, params, rng, seen=seen, plain=plain):  # type: ignore[no-untyped-def]
            observed, true = plain(self, params, rng)
            seen.append(round(observed - true, 9))
            return observed, true

        with monkeypatch.context() as patch:
            patch.setattr(type(this), "evaluate", evaluate)
            running.run_cell(job(name))
    assert met["random"] == met["genetic"]
    assert len(set(met["random"])) == 12


def test_a_torn_line_counts_as_none_and_is_run_again(tmp_path: Path, cell: cells.Cell) -> None:
    path = cells.path_of(tmp_path, "random")
    cells.append(path, cell)
    with path.open("a") as file:
        file.write(cell.line()[: len(cell.line()) // 2])
    assert cells.read(path) == {cell.key: cell}
    left, stale = running.todo([job(), job(seed=1)], {"random": cells.read(path)}, fresh=False)
    assert (left, stale) == ([job(seed=1)], 0)
    cells.tidy(path)
    cells.append(path, running.run_cell(job(seed=1)))
    assert sorted(cells.read(path)) == [(WHERE, 0), (WHERE, 1)]


def test_the_last_cell_counts_and_tidying_keeps_only_it(tmp_path: Path, cell: cells.Cell) -> None:
    path = cells.path_of(tmp_path, "genetic:tournament=2")
    assert ":" not in path.name
    newer = running.run_cell(job(trials=14))
    cells.append(path, cell)
    cells.append(path, newer)
    cells.tidy(path)
    assert [json.loads(line)["trials"] for line in path.read_text().splitlines()] == [14]


def test_a_cell_with_too_few_trials_is_run_again(cell: cells.Cell) -> None:
    done = {"random": {cell.key: cell}}
    assert running.todo([job(trials=12)], done, fresh=False) == ([], 0)
    assert running.todo([job(trials=13)], done, fresh=False) == ([job(trials=13)], 0)


def test_a_cell_of_another_version_is_stale_and_run_again_when_asked(cell: cells.Cell) -> None:
    done, newer = {"random": {cell.key: cell}}, job(version="2")
    assert running.todo([newer], done, fresh=False) == ([], 1)
    assert running.todo([newer], done, fresh=True) == ([newer], 0)
    assert running.todo([job()], done, fresh=True) == ([], 0)


def test_seeds_come_outermost_and_slow_samplers_have_fewer() -> None:
    jobs = running.plan([("a", "", False), ("b", "", True)], ["p", "q"], [0, 1], 1, 200, 100)
    assert [(j.seed, j.problem, j.sampler, j.trials) for j in jobs] == [
        (0, "p", "a", 200), (0, "p", "b", 100), (0, "q", "a", 200), (0, "q", "b", 100),
        (1, "p", "a", 200), (1, "q", "a", 200),
    ]  # fmt: skip


def test_a_value_outside_the_space_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = contenders.OptunaContender.ask

    def ask(self: contenders.OptunaContender):  # type: ignore[no-untyped-def]
        trial, params = real(self)
        return trial, {**params, next(iter(params)): 1e9}

    monkeypatch.setattr(contenders.OptunaContender, "ask", ask)
    with pytest.raises(ValueError, match=f"is outside .* of {WHERE}"):
        running.run_cell(job())


def test_processes_run_cells_and_say_which_failed() -> None:
    kept: list[cells.Cell] = []
    ended = dict(running.run_all([job(), job("nonsense")], 1, kept.append))
    assert [each.sampler for each in kept] == ["random"]
    assert ended[job()] == ""
    assert "unknown sampler 'nonsense'" in ended[job("nonsense")]


def test_variants_of_genetic_take_its_options() -> None:
    made = contenders.entry("genetic:population_size=4,scheme=generational")
    contender = made.make(problem(WHERE), 0, 10)
    assert isinstance(contender, contenders.OptunaContender)
    assert contender._study.sampler.population_size == 4
    with pytest.raises(TypeError, match="colour"):
        contenders.entry("genetic:colour=3")
    with pytest.raises(ValueError, match="only genetic and ours-NAME take options"):
        contenders.entry("tpe:seed=3")
    with pytest.raises(ValueError, match="key=value"):
        contenders.entry("genetic:population_size")


def test_the_samplers_that_we_offer_are_contenders_with_their_options() -> None:
    this = problem("models-two")
    contender = contenders.entry("ours-tpe:n_startup_trials=2").make(this, 0, 30)
    for _ in range(3):
        key, params = contender.ask()
        contender.tell(key, params, 0.0)
    contender.close()
    with pytest.raises(ValueError, match="n_startup_trials"):
        contenders.entry("ours-tpe:startup=2")


def test_inactive_genes_are_not_suggested() -> None:
    this = problem("models-two")
    contender = contenders.entry("random").make(this, 0, 30)
    for _ in range(30):
        key, params = contender.ask()
        assert params == this.active(params)
        contender.tell(key, params, 0.0)


def test_the_fingerprint_follows_what_is_used(tmp_path: Path) -> None:
    first = "from .b import helper\n\ndef used():\n    return helper(LIMIT)\n\nLIMIT = 3\n"
    other = 'SCALE = 2\n\ndef helper(x):\n    """Text."""\n    return x * SCALE\n\nidle = 1\n'

    def of(a: str, b: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "a.py").write_text(a)
        (folder / "b.py").write_text(b)
        return fingerprint("a", "used", folder)

    same = of(first, other)
    assert of(first, other.replace("Text.", "Other text.") + "# comment\n") == same
    assert of(first, other.replace("idle = 1", "idle = 2")) == same
    assert of(first.replace("LIMIT = 3", "LIMIT = 4"), other) != same
    assert of(first, other.replace("SCALE = 2", "SCALE = 5")) != same


def test_the_fingerprint_follows_the_code_and_not_the_files_that_it_lies_in(tmp_path: Path) -> None:
    used = "def used():\n    {}return helper(LIMIT) + far.away()\n\nLIMIT = 3\n"
    helper = "def helper(x):\n    return x * SCALE\n\nSCALE = {}\n"
    away = "def away():\n    return 7\n"

    def of(module: str, files: dict[str, str]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "pack"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return fingerprint(module, "used", folder)

    flat = {"a.py": "from . import far\n" + used.format("from .b import helper; ")}
    same = of("a", {**flat, "b.py": helper.format(2), "far.py": away})

    def deep(scale: int) -> str:
        return of("rooms", {
            "rooms/__init__.py": "from .one import used\n",
            "rooms/one.py": "from pack.cellar import far, helper\n" + used.format(""),
            "cellar/__init__.py": "from .deep.shelf import helper\n",
            "cellar/deep/shelf.py": helper.format(scale), "cellar/far.py": away,
        })  # fmt: skip

    assert deep(2) == same
    assert deep(5) != same


def asked(sampler: str) -> list[dict[str, object]]:
    """The parameters of a search of 24 trials, 18 of them by the surrogate."""
    this = problem("models-three-noisy")
    contender = contenders.entry(sampler).make(this, 0, 24)
    found = []
    try:
        for trial in range(24):
            key, params = contender.ask()
            found.append(params)
            contender.tell(key, params, this.evaluate(params, noise("x", 0, trial))[0])
    finally:
        contender.close()
    return found


@pytest.fixture(scope="module")
def whole() -> list[dict[str, object]]:
    """What is asked with every piece in its place."""
    return asked("genetic")


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_that_is_taken_out_changes_the_search(
    name: str, whole: list[dict[str, object]]
) -> None:
    assert asked(ablation.variant(name)) != whole


@pytest.mark.parametrize("name", [*PIECES, *TAUGHT])
def test_a_piece_that_was_taken_out_is_put_back(name: str) -> None:
    places = piece_of(name).settings

    def now() -> list[object]:
        return [resolve_name(f"search.{place}") for place in places]

    before = now()
    with without(piece_of(name)):
        assert now() == list(places.values())
    assert now() == before


def test_a_piece_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no piece 'luck'; there are surrogate, "):
        contenders.entry("genetic:without=luck")


def test_an_ablation_says_how_much_worse_the_sampler_is_without_a_piece() -> None:
    def of(sampler: str, true: float) -> cells.Cell:
        best = ((0, true, true),)
        seconds, ask = (0.1, 0.2), (0.1, 0.1)
        name = "models-two"
        return cells.Cell(
            sampler, "v", False, name, running.definition(name), 0, 50, best, seconds, ask
        )

    this = problem("models-two")
    unit = this.best - this.typical
    found = {
        "genetic": {("models-two", 0): of("genetic", this.best - 0.1 * unit)},
        "genetic:without=floor": {("models-two", 0): of("x", this.best - 0.3 * unit)},
    }
    row = ablation.row(found, "floor")
    assert row["budgets"]["50"]["ratio"][0] == pytest.approx(3.0)
    assert row["budgets"]["50"]["wins"] == 1.0
    assert list(row["budgets"]) == ["25", "50"]


def test_stale_cells_are_confirmed_only_if_those_run_again_agree(tmp_path: Path) -> None:
    path = tmp_path / "random.jsonl"
    made = [running.run_cell(job(seed=seed, version="old")) for seed in (0, 1, 2)]
    for cell in made:
        cells.append(path, cell)
    done = confirming.confirm(path, "new", every=2, jobs=1)
    assert (done["cells"], done["again"], done["versions"]) == (3, 2, ["old"])
    assert {cell.version for cell in cells.read(path).values()} == {"new"}
    assert [cells.read(path)[c.key].best for c in made] == [c.best for c in made]

    cells.append(path, replace(made[0], best=((0, 1.0, 1.0),)))
    before = path.read_text()
    with pytest.raises(ValueError, match="1 of 1 cells did not come out the same: ackley-noisy, s"):
        confirming.confirm(path, "newer", every=5, jobs=1)
    assert path.read_text() == before
