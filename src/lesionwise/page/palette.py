"""Colours: one for each diagnosis everywhere, and the tokens that follow a light or dark scheme."""

from typing import Final

# Paul Tol's "bright" scheme: told apart with any colour vision, legible on light and on dark.
# https://personal.sron.nl/~pault/ (technical note SRON/EPS/TN/09-002)
DIAGNOSIS_COLORS: Final = {
    "akiec": "#CCBB44",
    "bcc": "#AA3377",
    "bkl": "#228833",
    "df": "#BBBBBB",
    "mel": "#EE6677",
    "nv": "#4477AA",
    "vasc": "#66CCEE",
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
