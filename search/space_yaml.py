"""Read a YAML file strictly: plain data only, and no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import SpaceError


class _StrictLoader(yaml.SafeLoader):
    """`yaml.SafeLoader` takes the last of two equal keys in silence; this one refuses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping without a key twice."""
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice; keep one", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """The data in the YAML file ``path``; ``None`` where it is empty.

    Raises:
        SpaceError: where it cannot be read, with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpaceError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise SpaceError(f"{path}: is a folder; give a YAML file") from None
    except UnicodeDecodeError as error:
        raise SpaceError(
            f"{path}: is no text in UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror or error}") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """The data in ``text``; ``source`` is named in messages.

    Raises:
        SpaceError: where it is no YAML, with the line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        what = error.problem or error.context or "it is no YAML"
        raise SpaceError(f"{source}: {line}{what}; correct the YAML there") from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise SpaceError(f"{source}: {first}; correct the YAML there") from None
    except RecursionError:
        raise SpaceError(f"{source}: is nested too deeply for a search space") from None
    except (ValueError, TypeError, OverflowError, AttributeError, IndexError, KeyError) as error:
        raise SpaceError(
            f"{source}: a value is written in a way that YAML cannot read ({error}); quote it"
        ) from None
