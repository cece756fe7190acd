"""A PostgreSQL of the tests' own, from the server that comes in the wheel `pgserver`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def server(folder: Path) -> Iterator[str]:
    """The URL of an empty database. Skips where no server can be had."""
    try:
        import pgserver
    except ImportError:
        pytest.skip("no PostgreSQL: the wheel pgserver is not installed for this platform")
    try:
        one = pgserver.get_server(str(folder))
    except Exception as error:
        pytest.skip(f"no PostgreSQL: pgserver does not start here: {type(error).__name__}: {error}")
    yield one.get_uri()
    one.cleanup()
