"""The small bundle of the tests of bundles, for commands that take one."""

from bundle.conftest import exported, graph, make_bundle

__all__ = ["exported", "graph", "make_bundle"]
