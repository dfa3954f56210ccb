"""Write `docs/tutorial.ipynb` from `docs/tutorial.md`: `python docs/notebook.py`.

Text becomes a cell of text, a block of commands one cell of shell lines, and a block of Python one cell of
code; what its last line prints is shown instead, as notebooks do. A shell variable becomes a variable of
Python, which Jupyter puts into the shell lines. A link to another page becomes the name of its file, because
a notebook in Colab has no other pages beside it. A test compares the notebook with the page, so run this
after a change of the page.
"""

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("tutorial.md")
NOTEBOOK = PAGE.with_suffix(".ipynb")
_SET = re.compile(r"^([A-Z]+)=")
_LINK = re.compile(r"\[([^]]+)\]\((?!https?:)([^)]+)\)")
_PRINTED = re.compile(r"^print\((\w+)\)\Z", re.MULTILINE)  # the last line, which a notebook shows by itself
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return kind and text of each block of the page: "text", "sh" or "python".

    Args:
        page: The page as Markdown.
    """
    found, place = [], 0
    for block in _BLOCK.finditer(page):
        found += [("text", page[place : block.start()]), (block[1], block[2])]
        place = block.end()
    found.append(("text", page[place:]))
    return [(kind, text.strip()) for kind, text in found if text.strip()]


def render() -> str:
    """Return the notebook as JSON."""
    cells = [_cell(number, *block) for number, block in enumerate(blocks(PAGE.read_text(encoding="utf-8")))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return f"{json.dumps(notebook, indent=1, ensure_ascii=False)}\n"


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    if kind == "sh":
        lines = text.splitlines()
        shown = "\n".join(_SET.sub(r"\1 = ", line) if _SET.match(line) else f"!{line}" for line in lines)
    else:
        shown = _LINK.sub(r"\1 (`docs/\2`)", text) if kind == "text" else _PRINTED.sub(r"\1", text)
    cell = {"id": f"cell-{number}", "metadata": {}, "source": shown.splitlines(keepends=True)}
    if kind == "text":
        return {"cell_type": "markdown", **cell}
    return {"cell_type": "code", "execution_count": None, "outputs": [], **cell}


if __name__ == "__main__":
    NOTEBOOK.write_text(render(), encoding="utf-8")
