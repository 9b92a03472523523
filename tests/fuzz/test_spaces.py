"""Search spaces and settings as text: a space, or a sentence, whatever is in the file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.recipe import gene_limits
from cxrsearch.study.space import read_genes, shipped_spaces
from search.errors import SearchError
from search.space import SearchSpace

ODD = (
    "1e999", "-1e999", ".inf", ".nan", "NaN", "1e308", "9" * 5000, "0x" + "f" * 400, "1_0" * 50,
    "2020-99-99", "2020-01-01T99:99:99Z", "0o9", "1:61:61", "-0.0", "~", "null", "", "[]", "{}",
    "[[[[[]]]]]", "!!python/object/apply:os.system [true]", "!!binary x", "!!timestamp 1", "&a *a",
    "<<: {a: 1}", "? [a, b] : c", "'\\x00'", '"\\ud800"', "\u202e", "\ufeff", "on", "yes",
    "- x", "*nobody", "10**39", "1e39", "0b2", "!!set {a}", "!!float x", "!!int ''", "=", "!",
)  # fmt: skip
"""Values that readers of YAML, numbers and dates trip over."""


PRIORS = """genes:
  model: {choices: [densenet121, vgg16], prior: {vgg16: 3, densenet121: 2}}
  mix: {choices: [none, mixup], prior: [1, 2]}
  horizontal_flip: {choices: [true, false], prior: false}
  lr: {low: 1e-4, high: 1e-2, log: true, prior: {centre: 1e-3, width: 3}}
  crop:
    low: 640
    high: 1024
    prior:
      centre: 1024
      width: 100
"""
"""A space with priors of all kinds."""


def _mutated(text: str, draw: random.Random) -> bytes:
    """``text`` with one to four things wrong with it."""
    data = bytearray(text.encode())
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        what = draw.randrange(6)
        if what == 0 and data:
            data[place % len(data)] ^= 1 << draw.randrange(8)
        elif what == 1:
            data[place:place] = draw.choice(ODD).encode("utf-8", "surrogatepass")
        elif what == 2:
            del data[place : place + draw.randint(1, 40)]
        elif what == 3:
            data[place:place] = data[place : place + draw.randint(1, 200)]
        elif what == 4:
            data[place:place] = bytes(draw.randrange(256) for _ in range(draw.randint(1, 8)))
        else:
            colon = data.find(b": ", place)
            if colon >= 0:
                end = data.find(b"\n", colon)
                end = len(data) if end < 0 else end
                data[colon + 2 : end] = draw.choice(ODD).encode("utf-8", "surrogatepass")
    return bytes(data)


def test_a_damaged_space_is_read_or_refused_in_a_sentence(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    texts = [path.read_text(encoding="utf-8") for path in shipped_spaces().values()] + [PRIORS]
    known = gene_limits(DISEASES)
    file = tmp_path / "space.yaml"
    for number in cases(250):
        draw = random.Random(f"space {number}")
        file.write_bytes(_mutated(draw.choice(texts), draw))
        ending = guarded(number, lambda: SearchSpace.load(file, known=known), SearchError)
        if not ending.refused:
            again = SearchSpace.from_dict(ending.value.to_dict(), "again", known)
            assert again.fingerprint == ending.value.fingerprint, number


def _nested(depth: int, opening: str, closing: str) -> str:
    return "genes: " + opening * depth + closing * depth


BOMBS = {
    "aliases": "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
        for before, name in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
    ),
    "merges": "a: &a {x: 1}\n" + "".join(
        f"{name}: &{name} {{<<: [*{before}, *{before}, *{before}, *{before}, *{before}]}}\n"
        for before, name in zip("abcdefghijklmnop", "bcdefghijklmnopq", strict=True)
    ),
    "itself": "a: &a [*a]",
    "merged into itself": "a: &a {<<: *a}",
    "lists": _nested(5000, "[", "]"),
    "mappings": _nested(5000, "{a: ", "}"),
    "indented": "".join(" " * i + "a:\n" for i in range(3000)),
    "one long line": "name: " + "x" * 5_000_000,
    "many keys": "".join(f"k{i}: 1\n" for i in range(200_000)),
    "digits": "name: " + "9" * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_unfolds_is_refused_at_once(
    name: str, tmp_path: Path, guarded: Callable[..., Any]
) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(BOMBS[name], encoding="utf-8")
    assert guarded(
        name, lambda: SearchSpace.load(file, known=gene_limits(DISEASES)), SearchError
    ).refused


def test_odd_values_of_genes_on_the_command_line_are_read_or_refused(
    cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    limits = gene_limits(DISEASES)
    for number in cases(250):
        draw = random.Random(f"set {number}")
        value = draw.choice(ODD) if draw.random() < 0.6 else repr(draw.uniform(-1e6, 1e6))
        if draw.random() < 0.3:
            value = _mutated(value, draw).decode("utf-8", "surrogateescape")
        text = f"{draw.choice([*limits])}={value}"
        guarded(text[:80], lambda text=text: read_genes([text]), SearchError)
