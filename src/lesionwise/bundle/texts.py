"""Texts from files of strangers: control characters are refused, or escaped.

Here: the two kinds of text in a description, and making names safe for messages.
"""

from typing import Annotated, Final
from unicodedata import category

from pydantic import AfterValidator, Field

_UNSEEN: Final = ("Cc", "Cs")  # control characters, halves of characters
_TURNING: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # they change the direction


def printable(text: str) -> str:
    """Return a text with an escape for each character that is not printable."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _prose(text: str) -> str:
    strange = [
        sign for sign in text if sign in _TURNING or (category(sign) in _UNSEEN and sign not in "\n\t")
    ]
    if strange:
        raise ValueError(f"Expected text without control characters but found {strange[0]!a}")
    return text


def _line(text: str) -> str:
    if "\n" in text:
        raise ValueError("Expected one line")
    return _prose(text)


Prose = Annotated[str, AfterValidator(_prose)]
Line = Annotated[str, AfterValidator(_line)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
