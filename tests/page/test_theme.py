import re
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from lesionwise.page.palette import DARK, DIAGNOSIS_COLORS, DIAGNOSIS_COLORS_DARK, LIGHT
from lesionwise.page.shell import render_page
from lesionwise.page.theme import figure_style, figure_svg


def _drawing(color: str = LIGHT["accent"], name: str = "fig") -> str:
    with figure_style():
        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([0, 1], color=color, label="a")
    return figure_svg(figure, name=name, title='What it "shows" & more')


@pytest.mark.parametrize(("token", "color"), [*LIGHT.items(), *DIAGNOSIS_COLORS.items()])
def test_colours_become_variables_that_fall_back_on_themselves(token: str, color: str) -> None:
    svg = _drawing(color)
    assert f"stroke: var(--{token}, {color})" in svg
    assert not re.search(rf"(?<!, ){color}", svg)


def test_a_drawing_names_itself_and_is_wellformed() -> None:
    root = ET.fromstring(_drawing())  # noqa: S314 (our own drawing)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'What it "shows" & more'
    assert "DejaVu" not in _drawing()


def test_ids_of_two_drawings_differ_and_are_found() -> None:
    one, other = _drawing(name="one"), _drawing(name="other")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other)]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, other), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= own


def test_the_same_figure_gives_the_same_text() -> None:
    assert _drawing() == _drawing()


def test_a_page_has_every_colour_in_both_schemes() -> None:
    page = render_page("lesionwise.page", "shell.html")
    light, dark = page.split("@media (prefers-color-scheme: dark)")
    dark = dark.split("@media print")[0]
    for token, color in (LIGHT | DIAGNOSIS_COLORS).items():
        assert f"--{token}: {color};" in light
    for token, color in (DARK | DIAGNOSIS_COLORS_DARK).items():
        assert f"--{token}: {color};" in dark
    assert "http" not in page
    assert "not a medical device" in page
