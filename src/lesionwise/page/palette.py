"""Colours: one for each diagnosis, and those of the light and the dark scheme."""

from typing import Final

# Found by a search with the simulation of Machado et al. (2009), https://doi.org/10.1109/TVCG.2009.113. They
# differ for any colour vision, with a contrast of at least 3:1 to the grounds of their scheme (WCAG 2.2).
# Seven hues can do no more, so a label or marker always gives the same information.
DIAGNOSIS_COLORS: Final = {
    "akiec": "#b67632",
    "bcc": "#7c4584",
    "bkl": "#0e6e46",
    "df": "#7a7b7a",
    "mel": "#bc1307",
    "nv": "#1d6dbe",
    "vasc": "#2d9aba",
}
DIAGNOSIS_COLORS_DARK: Final = {
    "akiec": "#f4bd2a",
    "bcc": "#cf8cd5",
    "bkl": "#7fd0a2",
    "df": "#84858c",
    "mel": "#e54741",
    "nv": "#5973f6",
    "vasc": "#4fe4f5",
}

LIGHT: Final = {
    "ground": "#fbfaf8",
    "raised": "#ffffff",
    "ink": "#1f2328",
    "quiet": "#5c6570",
    "line": "#d9d6d0",
    "accent": "#1b6f78",
    "alert": "#a63a2b",
}
DARK: Final = {
    "ground": "#15181b",
    "raised": "#1c2024",
    "ink": "#e7e5e0",
    "quiet": "#9fa7b0",
    "line": "#363c43",
    "accent": "#6cc3cc",
    "alert": "#f0907f",
}

SHADE: Final = "#1c7079"
"""Of cells in both schemes; either ink is legible on it up to the opacity `PALE_INK_ABOVE`."""
PALE_INK: Final = "#fefefe"
PALE_INK_ABOVE: Final = 0.8
