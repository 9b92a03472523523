"""The recipes of CONTRIBUTING use names that are there."""

import ast
import builtins
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^ *```python\n(.*?)^ *```", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
)
OTHERS = {"Any", "BaseSampler", "Sequence", "Tensor", "replace"}
"""What the recipes use of other packages."""


def parsed(block: str) -> ast.Module:
    """A block as code; a line of a table is one in braces."""
    text = textwrap.dedent(block)
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.parse(f"{{{text}}}")


def of_the_product() -> set[str]:
    """Every name that a module of the product defines."""
    found: set[str] = set()
    for path in [*ROOT.glob("cxrsearch/**/*.py"), *ROOT.glob("search/**/*.py")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_a_recipe_uses_is_there(block: str) -> None:
    nodes = list(ast.walk(parsed(block)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {n.id for n in names if isinstance(n.ctx, ast.Store)} | {"self", "images", "parameters"}
    own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    own |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.alias)}
    own |= {n.asname for n in nodes if isinstance(n, ast.alias) and n.asname}
    unknown = {n.id for n in names} - own - OTHERS - of_the_product() - {*vars(builtins)}
    defined = {name for text in BLOCKS for name in re.findall(r"def (\w+)", text)}
    assert not unknown - defined
