"""How to reach a Kili endpoint: address, key and limits of the connection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from worker import __version__

DEFAULT_ENDPOINT = "https://cloud.kili-technology.com/api/label/v2/graphql"


@dataclass(frozen=True, slots=True, repr=False)
class KiliAccess:
    """One endpoint and the key to it; its repr never shows the key.

    Times in seconds, sizes in bytes. ``timeout`` and ``labels_timeout`` are what the server gets to answer, on top of
    the time a body takes at 100 kB/s. ``gzip_from`` is the body size from which requests are compressed (None: never).
    Raises :class:`ValueError` for an endpoint or a key that cannot be used.
    """

    endpoint: str
    api_key: str
    client_version: str = __version__
    connect_timeout: float = 10.0
    timeout: float = 60.0
    labels_timeout: float = 120.0
    gzip_from: int | None = 100_000
    max_answer_bytes: int = 64 * 1024 * 1024
    max_connections: int = 16
    keepalive_seconds: float = 30.0

    def __post_init__(self) -> None:
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint: {self.endpoint!r} is not a URL; begin it with https://")
        if not self.api_key:
            raise ValueError("api_key: is empty; create a key in Kili under My profile, API keys")
        if not self.api_key.isascii() or not self.api_key.isprintable() or " " in self.api_key:
            raise ValueError("api_key: holds a space, a line break or a character outside ASCII; paste the key alone")

    def __repr__(self) -> str:
        return f"KiliAccess(endpoint={self.endpoint!r}, api_key='***')"

    @property
    def scope(self) -> str:
        """Name of this endpoint and key for shared state: 16 hex digits from which the key cannot be read."""
        parts = (self.endpoint.encode(), self.api_key.encode())
        framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(framed, digest_size=8, person=b"kili-scope").hexdigest()

    def scrub(self, text: str) -> str:
        """Return the text without the API key."""
        return text.replace(self.api_key, "***")
