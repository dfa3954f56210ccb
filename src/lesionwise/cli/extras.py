"""Refusing a command at once where the module that it needs is missing."""

from importlib.util import find_spec

from lesionwise.errors import EXTRA_OF_MODULE, MissingExtraError


def require(module: str) -> None:
    """Name the extra of a command at once, before a module of a smaller extra is found missing."""
    if find_spec(module) is None:
        raise MissingExtraError(EXTRA_OF_MODULE[module], module)
