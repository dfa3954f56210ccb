"""Understanding a data set by looking: its table, its pixels and its masks, before anything is trained."""

from typing import Final

RECORD: Final = "explore.json"
"""Name of the file that says which data an exploration shows."""
