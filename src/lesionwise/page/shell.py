"""The HTML shell: one self-contained page, calm and legible, light and dark, on paper and on a phone.

Here: filling templates. Not here: what a page says.
"""

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from lesionwise.page.palette import DARK, DIAGNOSIS_COLORS, DIAGNOSIS_COLORS_DARK, LIGHT


def render_page(package: str, template: str, **values: Any) -> str:  # noqa: ANN401 (whatever the template names)
    """Return a page as HTML that needs no other file.

    Args:
        package: Import path of the package whose `templates` folder holds the template.
        template: File name; it extends `shell.html`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("lesionwise.page")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        light=LIGHT | DIAGNOSIS_COLORS, dark=DARK | DIAGNOSIS_COLORS_DARK, **values
    )
