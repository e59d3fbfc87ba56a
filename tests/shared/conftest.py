"""A runtime folder for each test, which no engine outlives."""

import pytest


@pytest.fixture(autouse=True)
def runtime_of_each_test(own_runtime: None) -> None:
    pass
