"""Buckets for local files and addresses of label files: signed, contents in memory."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qs, quote, urlsplit

from worker.sandbox.clock import Mint


def label_path(label_id: str) -> str:
    """Return the path of a label's file."""
    return f"labels/{label_id}/jsonResponse"


def label_url(base_url: str, buckets: Buckets, label_id: str) -> str:
    """Return the signed address of a label's file."""
    path = label_path(label_id)
    return f"{base_url}/{path}?signature={buckets.signature(path)}"


class Buckets:
    """Keeps uploaded contents by path; an address is only good with its signature."""

    def __init__(self, mint: Mint, seed: int) -> None:
        """Take file ids from `mint`; `seed` fixes the signatures."""
        self._mint = mint
        self._secret = f"bucket-{seed}".encode()
        self._contents: dict[str, tuple[bytes, str]] = {}
        self._paths: dict[str, str] = {}

    def signed_url(self, base_url: str, path: str) -> str:
        """Return an address for a path, with a file id at its end that is not part of the signature."""
        file_id = self._mint()
        self._paths[file_id] = path
        return f"{base_url}/bucket/{quote(path)}?signature={self.signature(path)}&id={file_id}"

    def may_access(self, path: str, signature: str) -> bool:
        """Tell whether a signature belongs to a path."""
        return hmac.compare_digest(signature, self.signature(path))

    def write(self, path: str, content: bytes, media_type: str) -> None:
        """Keep a content with its media type."""
        self._contents[path] = (content, media_type)

    def read(self, path: str) -> tuple[bytes, str] | None:
        """Return content and media type, or None."""
        return self._contents.get(path)

    def read_id(self, file_id: str) -> tuple[bytes, str] | None:
        """Return content and media type by file id, or None."""
        return self.read(self._paths.get(file_id, ""))

    def read_url(self, url: str) -> tuple[bytes, str] | None:
        """Return content and media type by an address of ours, or None."""
        file_ids = parse_qs(urlsplit(url).query).get("id", [""])
        return self.read_id(file_ids[0])

    def holds(self, url: str) -> bool:
        """Tell whether the content that an address of ours names has been uploaded."""
        return self.read_url(url) is not None

    def signature(self, path: str) -> str:
        """Return what makes an address of a path good."""
        return hmac.new(self._secret, path.encode(), hashlib.sha256).hexdigest()[:32]
