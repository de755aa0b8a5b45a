"""How to reach Kili, and one HTTP exchange with it: connections, compression, timeouts, a cap on what is read."""

from __future__ import annotations

import errno
import gzip
import hashlib
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from worker import __version__
from worker.environment import clock
from worker.environment.connections import trusted


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


SLOWEST_LINK = 100_000
"""Bytes per second that a link is given time for."""

CLIENT_NAME = "kili-prediction-worker"

# httpx logs every URL, and a signed URL is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


OWN_ERRORS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EADDRNOTAVAIL,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.ENOSPC,
    }
)
"""What the system says when this process or its machine lacks something, whoever was to be called."""


def is_local(error: BaseException | None) -> bool:
    """Whether a failure below HTTP is this process' own: it says nothing about the server and passes here or nowhere.

    Connections of the pool, sockets, descriptors, memory; a name that is not resolved; certificates that are not
    trusted or not found; a request that cannot be written.
    """
    while error is not None:
        if isinstance(error, httpx.PoolTimeout | httpx.LocalProtocolError | MemoryError):
            return True
        if isinstance(error, socket.gaierror | ssl.SSLCertVerificationError):
            return True
        if isinstance(error, OSError) and error.errno in OWN_ERRORS:
            return True
        error = error.__cause__ or error.__context__
    return False


class AnswerTooLarge(httpx.TransportError):
    """An answer is larger than what may be held in memory."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: status, headers, and the decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Payload:
    """A request body as it goes over the wire."""

    content: bytes
    gzipped: bool


class Transport:
    """The HTTP client of one process.

    Holds one pool of keep-alive connections, opened anew in a forked child: sharing a socket with the parent would
    mix up answers. A given ``http`` client is used as it is, and stays the caller's to close.
    """

    def __init__(self, access: KiliAccess, http: httpx.Client | None = None) -> None:
        self._access = access
        self._given = http
        self._own: tuple[int, httpx.Client] | None = None
        self._template: httpx.Request | None = None
        self.compressing = access.gzip_from is not None

    def pack(self, body: bytes) -> Payload:
        """Compress a body that is large enough."""
        threshold = self._access.gzip_from
        if not self.compressing or threshold is None or len(body) < threshold:
            return Payload(body, gzipped=False)
        return Payload(gzip.compress(body, compresslevel=6, mtime=0), gzipped=True)

    def post(self, payload: Payload, timeout: float) -> HttpAnswer:
        """Send a GraphQL body; ``timeout`` in seconds is what the server gets besides the transfer.

        Raises :class:`httpx.HTTPError`.
        """
        template = self._template
        if template is None:
            template = self._http().build_request("POST", self._access.endpoint, headers=self._headers())
            del template.headers["Content-Length"]
            self._template = template  # at last: other threads take what they see here as it is
        headers = template.headers
        if payload.gzipped:
            headers = httpx.Headers([*headers.raw, (b"Content-Encoding", b"gzip")])
        limits = self._limits(payload.content, timeout)
        request = httpx.Request(
            "POST",
            template.url,
            headers=headers,
            content=payload.content,
            extensions={"timeout": limits.as_dict()},
        )
        return self._exchange(request, limits)

    def put(self, url: str, data: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        """Send content to a signed URL, without our key. Raises :class:`httpx.HTTPError`."""
        limits = self._limits(data, self._access.timeout)
        request = self._http().build_request("PUT", url, content=data, headers=dict(headers), timeout=limits)
        return self._exchange(request, limits)

    def close(self) -> None:
        """Close the connections of this process."""
        if self._own is not None and self._own[0] == os.getpid():
            self._own[1].close()
        self._own = None

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"X-API-Key: {self._access.api_key}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"{CLIENT_NAME}/{self._access.client_version}",
            "apollographql-client-name": CLIENT_NAME,
            "apollographql-client-version": self._access.client_version,
        }

    def _limits(self, content: bytes, timeout: float) -> httpx.Timeout:
        return httpx.Timeout(timeout + len(content) / SLOWEST_LINK, connect=self._access.connect_timeout)

    def _exchange(self, request: httpx.Request, limits: httpx.Timeout) -> HttpAnswer:
        deadline = clock.monotonic() + (limits.read or 0.0)
        response = self._http().send(request, stream=True)
        try:
            return HttpAnswer(response.status_code, response.headers, self._read(response, deadline))
        finally:
            response.close()

    def _read(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._access.max_answer_bytes:
                raise AnswerTooLarge(f"the answer is larger than {self._access.max_answer_bytes} bytes")
            if clock.monotonic() > deadline + len(body) / SLOWEST_LINK:
                raise httpx.ReadTimeout("the answer trickles in too slowly")
        return bytes(body)

    def _http(self) -> httpx.Client:
        if self._given is not None:
            return self._given
        own = self._own
        if own is None or own[0] != os.getpid():
            own = self._own = (os.getpid(), self._open())
        return own[1]

    def _open(self) -> httpx.Client:
        return httpx.Client(
            verify=trusted(),
            limits=httpx.Limits(
                max_connections=self._access.max_connections,
                max_keepalive_connections=self._access.max_connections,
                keepalive_expiry=self._access.keepalive_seconds,
            ),
            follow_redirects=False,
            # A balancer's affinity cookie would tie the whole process to one backend.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
