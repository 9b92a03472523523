"""What a wheel would hold: every package and every file that the code reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]


def test_every_package_is_listed() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("search", "cxrsearch", "spaces")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert found == set(PACKAGES)


def test_every_file_beside_the_code_is_shipped() -> None:
    shipped = PROJECT["tool"]["setuptools"]["package-data"]
    missing = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package.replace(".", "/")).iterdir()
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and not any(path.match(pattern) for pattern in shipped.get(package, []))
    ]
    assert missing == []


def test_constraints_name_every_dependency() -> None:
    import re

    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    names = {re.split(r"[\[<>=~ ]", line)[0].lower() for line in wanted}
    assert names - pinned - {"cxrsearch"} == set()
