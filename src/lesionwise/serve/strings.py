"""Every word of the page, from `strings.toml` beside this file.

Not here: the names of problems, which the API shares (`problems`), and the numbers (`page`).
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple


class Words(NamedTuple):
    """Name and explanation of a diagnosis."""

    name: str
    about: str


def _read() -> dict[str, Any]:
    return tomllib.loads((files("lesionwise.serve") / "strings.toml").read_text(encoding="utf-8"))


_FILE: Final = _read()
TEXT: Final[Mapping[str, str]] = _FILE["text"]
"""Sentences by key; `{…}` are blanks."""
DIAGNOSES: Final[Mapping[str, Words]] = {code: Words(**words) for code, words in _FILE["diagnoses"].items()}
"""By diagnosis code."""
