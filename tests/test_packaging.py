"""What a wheel would hold: every package and every file that the code reads."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from setuptools import find_packages

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FIND = PROJECT["tool"]["setuptools"]["packages"]["find"]
PACKAGES = find_packages(str(ROOT), **FIND)


def test_every_package_is_shipped_and_no_other() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("search", "cxrsearch", "spaces")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert found == set(PACKAGES)


def test_every_file_beside_the_code_is_shipped() -> None:
    shipped = PROJECT["tool"]["setuptools"]["package-data"]
    found = {
        path
        for package, patterns in shipped.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    beside = {
        path
        for top in ("search", "cxrsearch", "spaces")
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert found == beside


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


KNOWN_HOLES = {
    "ray": "2.52",  # CVE-2025-62593: a page in a browser could run code on the cluster
    "filelock": "3.20.3",  # CVE-2025-68146, CVE-2026-22701: a link in a lock's place was followed
    "jinja2": "3.1.6",  # CVE-2025-27516: a way out of its sandbox
    "pillow": "12.1.1",  # CVE-2025-48379, CVE-2026-25990: writes out of bounds
    "pydicom": "3.0.2",  # a path in a DICOMDIR could lead out of its folder
    "torch": "2.6",  # CVE-2025-32434: weights_only could run code
    "pyyaml": "5.4",  # CVE-2020-14343: its full loader could run code
    "psutil": "5.6.7",  # CVE-2019-18874: freed memory was freed again
}
"""The first version without a hole that was known when this was written."""


def test_no_version_with_a_known_hole_is_admitted() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(name for extra in extras for name in extra)]
    floors = {
        found.name.lower(): min(
            Version(part.version) for part in found.specifier if part.operator in (">=", "==")
        )
        for found in map(Requirement, wanted)
        if found.name != "cxrsearch" and found.specifier
    }
    low = {
        name: str(floors.get(name))
        for name, safe in KNOWN_HOLES.items()
        if name not in floors or floors[name] < Version(safe)
    }
    assert low == {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if name.lower() in KNOWN_HOLES:
            assert Version(version) >= Version(KNOWN_HOLES[name.lower()]), line


def test_what_is_imported_is_declared() -> None:
    """What another dependency happens to bring may be gone with its next version."""
    distributions = {"yaml": "pyyaml", "PIL": "pillow"}
    imported = {
        name.split(".")[0]
        for top in ("search", "cxrsearch", "spaces")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    ours = {"search", "cxrsearch", "spaces", "benchmarks", ""}
    needed = {
        distributions.get(name, name).replace("_", "-")
        for name in imported - ours - set(sys.stdlib_module_names)
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["dicom"], *extras["timm"]]
    declared = {Requirement(line).name.lower() for line in wanted}
    assert needed - declared == set()
