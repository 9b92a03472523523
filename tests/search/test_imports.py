"""What a fresh interpreter loads: `search` stays free of what it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import search

PACKAGE = Path(search.__file__).parent
ABSENT = ("torch", "plotly", "ray", "cxrsearch")
FILES = [path for path in PACKAGE.rglob("*.py") if "tune" not in path.parts]
MODULES = sorted(
    ".".join(["search", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in FILES
)

PROGRAM = """
import importlib, sys
sys.path.insert(0, sys.argv[3])
for name in sys.argv[2].split(","):
    importlib.import_module(name)
found = [name for name in sys.argv[1].split(",") if name in sys.modules]
sys.exit("loaded: " + ", ".join(found) if found else 0)
"""


def test_search_loads_neither_torch_plotly_ray_nor_the_application() -> None:
    assert {"search.space", "search.study", "search.serial", "search.store.record"} <= set(MODULES)
    run = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, ",".join(ABSENT), ",".join(MODULES),
         str(PACKAGE.parent)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_search_names_none_of_them_in_an_import() -> None:
    import ast

    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not {name.split(".")[0] for name in names} & set(ABSENT), path.name
