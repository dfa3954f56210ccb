"""Wording that many messages share: a number with its noun, a list, and the name that was probably meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the singular where it is one.

    Args:
        plural: The plural, where it is not the singular with an s.

    Example:
        >>> counted(1, "image"), counted(2004, "image"), counted(0, "diagnosis", "diagnoses")
        ('1 image', '2,004 images', '0 diagnoses')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them, with "and" before the last.

    Example:
        >>> listed(["age"]), listed(["age", "sex", "site"])
        ('age', 'age, sex and site')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def shortened(names: Sequence[str], most: int = 12) -> str:
    """Return names with commas between them, the first ones and how many more there are.

    Example:
        >>> shortened(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the known name nearest to a wrong one, or nothing where none is near.

    Example:
        >>> did_you_mean("smal", ["best", "small"])
        ' Did you mean "small"?'
    """
    near = get_close_matches(name, known, n=1)
    return f' Did you mean "{near[0]}"?' if near else ""
