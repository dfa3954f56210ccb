"""Fixtures for tests of scores."""

import pytest

from evaluate.simulation import Simulated, simulate


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    return simulate()
