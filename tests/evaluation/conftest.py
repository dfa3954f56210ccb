"""Fixtures for tests of scores."""

import pytest
from hypothesis import settings

from evaluation.simulation import Simulated, simulate

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    return simulate()
