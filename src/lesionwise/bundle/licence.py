"""The licence of the weights: in the spelling of model hubs, and in words.

Here: spelling. Not here: the texts of licences (`publishing`).
"""

import json
import re
from typing import Final

LICENCE_FILE: Final = "LICENSE"
_CREATIVE_COMMONS: Final = re.compile(r"cc-(by|by-sa|by-nc|by-nd|by-nc-sa|by-nc-nd)-(4\.0)")
_HUB_ID: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
CARD_HEADER: Final = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_LICENCE_LINE: Final = re.compile(r"^(license|license_name): (.+)$", re.MULTILINE)


def hub_id(licence: str) -> str:
    """Return a licence as hubs spell it.

    Example:
        >>> hub_id("CC BY-NC 4.0"), hub_id("CC-BY-NC-4.0")
        ('cc-by-nc-4.0', 'cc-by-nc-4.0')
    """
    return re.sub(r"\s+", "-", licence.strip().lower())


def creative_commons(licence: str) -> tuple[str, str] | None:
    """Return kind and version of a licence of Creative Commons, such as "by-nc" and "4.0"; None of others."""
    found = _CREATIVE_COMMONS.fullmatch(hub_id(licence))
    return (found[1], found[2]) if found else None


def licence_in_words(licence: str) -> str:
    """Return a licence as people write it.

    Example:
        >>> licence_in_words("cc-by-nc-4.0"), licence_in_words("Our own, of 2026")
        ('CC BY-NC 4.0', 'Our own, of 2026')
    """
    found = creative_commons(licence)
    return f"CC {found[0].upper()} {found[1]}" if found else licence.strip()


def licence_of_card(card: str) -> str:
    r"""Return the licence that the header of a model card states; empty where it states none.

    Example:
        >>> licence_of_card("---\nlicense: cc-by-nc-4.0\n---\n"), licence_of_card("# A card")
        ('CC BY-NC 4.0', '')
    """
    header = CARD_HEADER.match(card)
    stated = dict(_LICENCE_LINE.findall(header[0])) if header else {}
    if "license_name" in stated:
        return str(json.loads(stated["license_name"]))
    return licence_in_words(stated.get("license", ""))


def licence_lines(licence: str) -> list[str]:
    """Return the lines of a hub's header; a licence that hubs have no name for is in `LICENCE_FILE`."""
    spelled = hub_id(licence)
    if _HUB_ID.fullmatch(spelled):
        return [f"license: {spelled}"]
    return ["license: other", f"license_name: {json.dumps(licence)}", f"license_link: {LICENCE_FILE}"]
