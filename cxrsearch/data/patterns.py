"""Regular expressions of a user's over paths: checked, and never waited for.

Some expressions take longer than anyone lives on a text of fifty characters. So they are matched
by another process, which is ended when it takes too long.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

from cxrsearch.errors import InputError

LONGEST_PATTERN = 500
"""Characters of a pattern, at most."""
MATCH_SECONDS, SECONDS_A_TEXT = 4.0, 1e-4
"""Seconds that matching may take, and more of them a text."""

_MATCH = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
finditer = re.compile(pattern).finditer
found = []
for text in texts:
    values = []
    for match in finditer(text):
        value = match[match.re.groups and 1]
        if value and value not in values:
            values.append(value)
            if len(values) == 2:
                break
    found.append(values)
json.dump(found, sys.stdout)
"""


def pattern_problem(regex: str) -> str | None:
    """What is wrong with a pattern, before it is matched, or None."""
    shown = repr(regex if len(regex) <= 60 else f"{regex[:60]}...")
    if not regex or len(regex) > LONGEST_PATTERN:
        return f"pattern {shown}: has {len(regex):,} characters; 1 to {LONGEST_PATTERN} are read"
    try:
        groups = re.compile(regex).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"pattern {shown}: no regular expression ({error}); correct it"
    if groups > 1:
        return (
            f"pattern {shown}: has {groups} groups, so it may say two things of one image; mark "
            "one with (...), and write (?:...) for the others"
        )
    return None


def values_found(regex: str, texts: Sequence[str]) -> list[str | None]:
    """What a pattern finds first in each text: its group, or the whole match; None where nothing.

    Raises:
        InputError: where it is no pattern, or takes too long.
    """
    return [values[0] if values else None for values in distinct_found(regex, texts)]


def distinct_found(regex: str, texts: Sequence[str]) -> list[list[str]]:
    """The first two different things that a pattern finds in each text: its group, or the match.

    Raises:
        InputError: where it is no pattern, or takes too long.
    """
    if problem := pattern_problem(regex):
        raise InputError(problem)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MATCH],
            input=json.dumps([regex, list(texts)]),
            capture_output=True,
            text=True,
            timeout=MATCH_SECONDS + SECONDS_A_TEXT * len(texts),
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"pattern {regex!r}: takes too long; write it without repeats within repeats, such as "
            "(a+)+"
        ) from None
    except subprocess.CalledProcessError:
        raise InputError(f"pattern {regex!r}: cannot be matched; write a simpler one") from None
    found: list[list[str]] = json.loads(done.stdout)
    return found
