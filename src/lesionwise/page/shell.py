"""The HTML shell of all pages: self-contained, light and dark, for paper and for phones."""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from lesionwise.page.palette import DARK, DIAGNOSIS_COLORS, DIAGNOSIS_COLORS_DARK, LIGHT
from lesionwise.wording import counted


def templates(*packages: str, html: bool = True) -> Environment:
    """Return the templates of some packages; an undefined name in a template is an error.

    The filter `counted` writes a number with its noun.

    Args:
        packages: Import paths of packages with a folder `templates`; the first that has a template gives it.
        html: Whether values are escaped for HTML; Markdown of our own numbers needs no escaping.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=html,  # noqa: S701 (off for Markdown alone)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["counted"] = counted
    return made


def render_page(package: str, template: str, **values: Any) -> str:  # noqa: ANN401 (whatever the template names)
    """Return a self-contained page as HTML.

    Args:
        package: Import path of the package whose `templates` folder holds the template.
        template: File name; it extends `shell.html`.
    """
    return (
        templates(package, "lesionwise.page")
        .get_template(template)
        .render(light=LIGHT | DIAGNOSIS_COLORS, dark=DARK | DIAGNOSIS_COLORS_DARK, **values)
    )
