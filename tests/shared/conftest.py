"""What tests of shared engines share: a runtime folder of each test's own, which no engine outlives."""

import pytest


@pytest.fixture(autouse=True)
def runtime_of_each_test(own_runtime: None) -> None:
    pass
