"""`lesionwise recipes`: which recipes ship, and what their keys mean."""

import re
from typing import Annotated, Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lesionwise.cli.console import fact_table, print_result
from lesionwise.cli.options import argument, complete_recipe

_SHOWN: Final = ("cost", "measured")


class Header(NamedTuple):
    """What the comments at the top of a recipe say.

    Attributes:
        notes: Command, cost, measured scores and what else is named, by name.
    """

    description: str
    notes: dict[str, str]


def recipes(
    name: Annotated[
        str | None,
        argument(
            "RECIPE",
            "Show this recipe alone, with every key: its value here, its default, and what it does.",
            autocompletion=complete_recipe,
        ),
    ] = None,
) -> None:
    """List the included recipes with cost and measured scores, or show one with all its keys."""
    from lesionwise.recipe import load_recipe, recipe_names, recipe_text

    if name is None:
        headers = {each: read_header(recipe_text(each)) for each in recipe_names()}
        print_result(_list(headers), {each: header._asdict() for each, header in headers.items()})
        return
    header, values = read_header(recipe_text(name)), load_recipe(name).model_dump(mode="json")
    keys = [{**key, "value": values[key["key"]]} for key in describe_keys()]
    print_result(_show(name, header, keys), {"name": name, **header._asdict(), "keys": keys})


def read_header(text: str) -> Header:
    """Return what the comments at the top of a recipe's file say: a paragraph, then notes by name."""
    comments = re.match(r"(?:#.*\n)*", text)
    text = re.sub("^#", "", comments[0] if comments else "", flags=re.MULTILINE)
    description, _, rest = text.partition("\n\n")
    found = re.findall(r"^ (\w+) {2,}(.+?)(?=^ \w+ {2,}|\Z)", rest, re.MULTILINE | re.DOTALL)
    return Header(
        " ".join(description.split()), {name: re.sub(r"\s*\n\s*", " ", note.strip()) for name, note in found}
    )


def describe_keys() -> list[dict[str, Any]]:
    """Return each recipe key with its type, its default (None where it has none) and its sentence."""
    from lesionwise.recipe import Recipe

    schema = Recipe.model_json_schema()
    return [
        {
            "key": key,
            "type": _type(facts),
            "required": key in schema["required"],
            "default": facts.get("default"),
            "sentence": " ".join(facts["description"].split()),
        }
        for key, facts in schema["properties"].items()
    ]


def _type(facts: dict[str, Any]) -> str:
    """Return the type of a key in words: its alternatives, or its kind and limits."""
    if "anyOf" in facts:
        return " or ".join(
            "left out" if part.get("type") == "null" else _type(part) for part in facts["anyOf"]
        )
    if "enum" in facts or "const" in facts:
        return ", ".join(map(str, facts.get("enum") or [facts["const"]]))
    if facts["type"] == "array":
        parts = facts.get("prefixItems") or []
        return f"{len(parts)} x {_type(parts[0])}" if parts else f"list of {_type(facts['items'])}"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    limits = {
        "minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"
    }  # fmt: skip
    named = [f"{word} {facts[limit]:g}" for limit, word in limits.items() if limit in facts]
    return " ".join([words.get(facts["type"], "table of keys and values"), *named])


def _list(headers: dict[str, Header]) -> RenderableType:
    facts = {}
    for name, header in headers.items():
        notes = [f"{note}: {header.notes[note]}" for note in _SHOWN if note in header.notes]
        facts[name] = "\n".join([header.description, *notes])
    more = Text('"lesionwise recipes RECIPE" shows the keys of one of them.')
    return Group(fact_table(facts, padding=(0, 2, 1, 0)), more)


def _show(name: str, header: Header, keys: list[dict[str, Any]]) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for title in ("key", "value here", "default"):
        table.add_column(title, overflow="fold", max_width=28)
    table.add_column("what it does", overflow="fold", ratio=1)
    for key in keys:
        changed = key["required"] or key["value"] != key["default"]
        cells = [key["key"], _value(key["value"]), "" if key["required"] else _value(key["default"])]
        style = "bold" if changed else ""
        table.add_row(
            *(Text(cell, style=style) for cell in cells), Text(f"{key['sentence']} ({key['type']})")
        )
    return Group(Text(f"{name}: {header.description}"), "", fact_table(header.notes), "", table)


def _value(value: Any) -> str:  # noqa: ANN401 (any value of a recipe)
    from lesionwise.recipe import to_toml_value

    return "" if value is None else to_toml_value(value)
