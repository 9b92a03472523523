"""The registry of systems: what lies in the folders is entered, and commands and arms follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from cxrsearch import cli, systems
from cxrsearch.ablation.arms import ARMS
from cxrsearch.systems import ARM, COMMAND, SYSTEMS, modules

HERE = Path(systems.__file__).parent


def test_every_folder_is_entered_with_the_modules_that_it_has() -> None:
    found = {
        folder.name: tuple(k for k in (COMMAND, ARM) if (folder / f"{k}.py").is_file())
        for folder in HERE.iterdir()
        if (folder / "__init__.py").is_file()
    }
    assert found == SYSTEMS


def test_every_command_and_every_arm_of_a_system_is_reached() -> None:
    for module in modules(COMMAND):
        for words in module.COMMANDS:
            assert CliRunner().invoke(cli.cli, [*words.split(), "--help"]).exit_code == 0, words
    for module in modules(ARM):
        for name, arm in module.ARMS.items():
            assert ARMS[name] is arm


def test_a_command_may_join_the_group_of_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def noise() -> None:
        """Say hello."""
        click.echo("hello")

    group = click.Group("cxrsearch", commands={"pretrain": click.Group("pretrain")})
    monkeypatch.setattr(cli, "cli", group)
    made = [SimpleNamespace(COMMANDS={"pretrain noise": noise})]
    monkeypatch.setattr(cli, "modules", lambda kind: made)
    cli._add_systems()
    assert CliRunner().invoke(group, ["pretrain", "noise"]).output == "hello\n"


def test_help_waits_for_nothing_that_loads_slowly() -> None:
    slow = ("torch", "ray", "plotly", "optuna", "pandas", "scipy")
    code = (
        "import sys; from cxrsearch.cli import cli; cli(['--help'], standalone_mode=False); "
        f"assert not [m for m in {slow} if m in sys.modules]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
