"""Addresses of label files: what `jsonResponseUrl` answers, signed as a bucket's addresses are."""

from __future__ import annotations

from .uploads import Buckets


def label_path(label_id: str) -> str:
    """Return the path of a label's file."""
    return f"labels/{label_id}/jsonResponse"


def label_url(base_url: str, buckets: Buckets, label_id: str) -> str:
    """Return the signed address of a label's file."""
    path = label_path(label_id)
    return f"{base_url}/{path}?signature={buckets.signature(path)}"
