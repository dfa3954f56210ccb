"""Errors, oddities and shortcuts in a data folder, before anything is trained on it."""
