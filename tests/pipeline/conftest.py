"""What the tests of this folder share."""

from collections.abc import Iterator

import c2pa
import pytest

from tests.signing import made_signer


@pytest.fixture(scope="session")
def signer() -> Iterator[c2pa.Signer]:
    """One signer for all: keys take their time."""
    with made_signer() as made:
        yield made
