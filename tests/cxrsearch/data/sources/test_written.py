"""A description, written as dataset.yaml or kept by a study, is read as what it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.data.description import (
    BLANKS,
    POLICIES,
    READERS,
    ROLES,
    SPLIT_BY,
    Description,
    LabelFrom,
    Pattern,
)
from cxrsearch.data.labels.names import name_problems
from cxrsearch.data.sources.stated import described, stated_in
from cxrsearch.data.sources.written import plain, yaml_text
from search.reading import parse_yaml

BASE = Path("/data/set")

PLAIN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
TEXTS = st.text(PLAIN, min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and text.isprintable()
)
LIKE_YAML = ("yes", "no", "null", "~", "1", "1.0", "2020-01-01", "- a", "a: b", "#x", "'", '"',
             "{", "*", "<<")  # fmt: skip
WORDS = TEXTS | st.sampled_from(LIKE_YAML)
PARTS = WORDS.filter(lambda word: "/" not in word and word not in (".", "..", "~"))
PATHS = st.lists(PARTS, max_size=3).map(lambda parts: BASE.joinpath(*parts))
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
NAMES = st.lists(
    st.from_regex(r"[A-Za-z][A-Za-z0-9 /_-]{0,9}", fullmatch=True), min_size=1, max_size=5
).filter(lambda names: not name_problems(names))


@st.composite
def descriptions(draw: st.DrawFn) -> Description:
    names = draw(NAMES)
    sources = draw(st.lists(WORDS, min_size=len(names), max_size=len(names)))
    policy = st.dictionaries(st.sampled_from(["", *names]), st.sampled_from(POLICIES), max_size=3)
    blank = st.dictionaries(st.sampled_from(["", *names]), st.sampled_from(BLANKS), max_size=3)
    column = WORDS | st.sampled_from([Pattern(r"p(\d+)"), Pattern("a|'b\"")])
    columns = draw(st.dictionaries(st.sampled_from(ROLES[1:]), column))
    return Description(
        images=draw(PATHS | st.just(Path("/else where/x"))),
        table=tuple(draw(st.lists(PATHS, max_size=2))),
        format=draw(st.sampled_from(["nih", "one-hot"])),
        columns={"image": draw(WORDS), **columns},
        labels=tuple(map(LabelFrom, names, sources)) if draw(st.booleans()) else (),
        uncertain=draw(policy),
        blank=draw(blank),
        readers=draw(st.sampled_from(READERS)),
        filter=draw(st.dictionaries(WORDS, VALUES, max_size=2)),
        split=draw(st.sampled_from(SPLIT_BY)),
        options=draw(st.dictionaries(st.just("separator"), WORDS | st.just(""))),
    )  # fmt: skip


@given(descriptions())
def test_what_a_study_keeps_is_read_as_what_it_was(one: Description) -> None:
    kept = parse_yaml(yaml.safe_dump(plain(one, BASE)), "study.yaml")
    assert described(kept, "study.yaml", BASE) == one


@given(one=descriptions())
def test_dataset_yaml_is_read_as_what_it_was(one: Description) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dataset.yaml"
        path.write_text(yaml_text(one, BASE, lambda label: "3 positive"), encoding="utf-8")
        text = path.read_text(encoding="utf-8")
        found = stated_in(path)
        assert found.problems == []
        assert described(parse_yaml(text, "dataset.yaml"), "dataset.yaml", BASE) == one
