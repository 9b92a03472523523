"""What `cxrsearch` and `search` offer a program: typed, loaded when used, and as their docs say."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import cxrsearch
import search

FACES = (cxrsearch, search)
HEAVY = ("torch", "ray", "plotly", "optuna", "pandas", "sqlalchemy")

LOADED = f"""
import sys
sys.path.insert(0, sys.argv[1])
import cxrsearch, search
{{use}}
print([name for name in {HEAVY} if name in sys.modules])
"""


def loaded(use: str) -> list[str]:
    """What a fresh interpreter has loaded after a bare import of both and ``use``."""
    root = str(Path(search.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-I", "-c", LOADED.format(use=use), root],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found: list[str] = ast.literal_eval(run.stdout)
    return found


def test_a_bare_import_loads_nothing_heavy() -> None:
    assert loaded("dir(search), search.__all__, cxrsearch.__version__") == []


def test_settings_need_nothing_heavy() -> None:
    assert loaded("cxrsearch.Settings(trials=3).check, cxrsearch.InputError") == []


@pytest.mark.parametrize(
    "use",
    ["cxrsearch.status", "search.Study, search.run_serial, search.GeneticSampler"],
)
def test_neither_a_look_nor_the_engine_needs_torch_ray_or_plotly(use: str) -> None:
    assert not {"torch", "ray", "plotly"} & set(loaded(use))


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_every_name_is_there_and_comes_from_its_home(face: ModuleType) -> None:
    assert set(face.__all__) <= set(dir(face))
    assert {*face._HOMES, "__version__"} >= set(face.__all__) >= set(face._HOMES)
    for name, home in face._HOMES.items():
        found = getattr(face, name)
        assert found is getattr(import_module(f"{face.__name__}.{home}"), name)
        where = getattr(found, "__module__", None)
        assert where in (None, "typing", f"{face.__name__}.{home}") or where.startswith(
            (f"{face.__name__}.{home}.", f"{face.__name__}.study.", "collections")
        )


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_a_type_checker_sees_the_same_homes(face: ModuleType) -> None:
    assert face.__file__ is not None
    tree = ast.parse(Path(face.__file__).read_text(encoding="utf-8"))
    block = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    typed = {
        alias.name: node.module
        for node in block
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == face._HOMES


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_any_other_name_is_an_attribute_error(face: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        face.Nothing  # noqa: B018 - the look-up is the test


def examples(face: ModuleType) -> list[str]:
    """The indented blocks of code in a package's docstring."""
    assert face.__doc__ is not None
    blocks, inside = [], False
    for line in face.__doc__.splitlines():
        if inside and (line.startswith("    ") or not line.strip()):
            blocks[-1] += f"{line}\n"
        else:
            inside = line.endswith("::")
            blocks += [""] if inside else []
    return [textwrap.dedent(block) for block in blocks]


def test_the_engines_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    study, sampler = examples(search)
    exec(compile(study, "study", "exec"), {})
    best = ast.literal_eval(capsys.readouterr().out)
    assert best["lr"] == pytest.approx(0.01, rel=0.5)
    assert search.read_study(tmp_path / "toy").counts()["complete"] == 20
    names: dict[str, object] = {}
    exec(compile(sampler, "sampler", "exec"), names)
    assert len(names["study"].trials) == 20  # type: ignore[attr-defined]
