"""What pages do with the texts that they are given."""

from __future__ import annotations

import pytest

from cxrsearch.show.page import prose


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("give more with `--trials 5`", "give more with <code>--trials 5</code>"),
        ("`a <b>` and `c`", "<code>a &lt;b&gt;</code> and <code>c</code>"),
        ("<script>`x`</script>", "&lt;script&gt;<code>x</code>&lt;/script&gt;"),
        ("one ` alone <i>", "one ` alone &lt;i&gt;"),
        ("{} `{}` %s", "{} <code>{}</code> %s"),
        ("", ""),
    ],
)
def test_a_sentence_is_escaped_and_its_commands_are_code(text: str, shown: str) -> None:
    assert str(prose(text)) == shown
