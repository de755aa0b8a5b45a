"""How hard hypothesis looks: the same examples at every run of the suite, fresh ones under ``make fuzz``.

``FUZZ`` is how many times as many examples each property gets, with a fresh seed. Failures are kept in ``.hypothesis``
and tried first the next time. A failure found there becomes an ``@example`` of its test when it is mended.
"""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

FACTOR = int(os.environ.get("FUZZ", "0"))
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile(
    "fuzz",
    derandomize=False,
    deadline=None,
    print_blob=True,
    max_examples=100 * max(1, FACTOR),
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
)


def examples(count: int) -> int:
    """How many examples a property gets that needs ``count`` in the suite."""
    return count * max(1, FACTOR)


def load_profile() -> None:
    """Take the profile that the environment asks for."""
    settings.load_profile("fuzz" if FACTOR else "suite")
