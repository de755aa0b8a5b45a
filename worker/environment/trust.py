"""Which certificate authorities the worker trusts, read once: reading them costs more CPU time than a call to Kili."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """The TLS context of every HTTP client: httpx's own choice, with ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``."""
    return httpx.create_ssl_context()
