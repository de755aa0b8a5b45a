"""Which process runs which file: a file stays on one, and so do the files that share what takes long to prepare."""

from __future__ import annotations

import re

from xdist.scheduler import LoadFileScheduling

SDK = "tests using Kili's SDK"
USING_THE_SDK = re.compile(r"tests/(?:conformance/test_sdk_\w+|integration/test_(?:main_job|feedback_commands))\.py")
"""Importing the SDK takes two seconds, for it rewrites itself to check types: one process does it for all of these."""


def group_of(nodeid: str) -> str:
    """What a test is handed out with: its file, or the files that it shares an import with."""
    file = nodeid.partition("::")[0]
    return SDK if USING_THE_SDK.fullmatch(file) else file


class GroupScheduling(LoadFileScheduling):
    """``--dist loadfile``, with groups of files."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
