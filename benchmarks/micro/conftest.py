"""What all microbenchmarks share."""

import os
from pathlib import Path

import pytest

import trunkline


def pytest_configure() -> None:
    """Stop if the imported core is not the one to measure."""
    wanted = os.environ.get("TRUNKLINE_MEASURED")
    if wanted and not Path(trunkline.__file__).is_relative_to(wanted):
        raise pytest.UsageError(f"{trunkline.__file__} was imported, which is not in {wanted}")
