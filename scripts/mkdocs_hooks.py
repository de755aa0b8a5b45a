"""For ``mkdocs build``: links to files outside of docs/ hold in a clone; on the site their text stands alone."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:examples/[^)]*|[A-Z]+(?:\.md)?)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""
    return OUTSIDE.sub(r"\1", markdown)
