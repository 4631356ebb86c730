"""What all of them share."""

import os
from pathlib import Path

import pytest

import trunkline


def pytest_configure() -> None:
    """Stop if another core would be measured than the one that is meant."""
    wanted = os.environ.get("TRUNKLINE_MEASURED")
    if wanted and not Path(trunkline.__file__).is_relative_to(wanted):
        raise pytest.UsageError(f"{trunkline.__file__} would be measured, which is not in {wanted}")
