"""Who may enter the sandbox's own surface: this machine, and with --expose the holders of a key."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from worker.sandbox.process import SandboxConfig
from worker.sandbox.server import create_app

KEY = {"Authorization": "X-API-Key: mine"}
WRONG = {"Authorization": "X-API-Key: other"}


def state(peer: str, headers: dict[str, str], *, expose: bool) -> httpx.Response:
    app = create_app(SandboxConfig(api_keys=("mine",), expose=expose))

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            return await client.get("/sandbox/state", headers=headers)

    return asyncio.run(get())


@pytest.mark.parametrize(
    ("peer", "headers", "expose", "status"),
    [
        ("127.0.0.1", {}, False, 200),
        ("127.0.0.1", {}, True, 200),
        ("172.18.0.1", KEY, True, 200),
        ("172.18.0.1", {}, True, 403),
        ("172.18.0.1", WRONG, True, 403),
        ("172.18.0.1", KEY, False, 403),
    ],
)
def test_who_may_enter(peer: str, headers: dict[str, str], expose: bool, status: int) -> None:
    assert state(peer, headers, expose=expose).status_code == status


@pytest.mark.parametrize(("expose", "words"), [(True, "X-API-Key: <key>"), (False, "--expose")])
def test_a_stranger_is_told_what_is_missing(expose: bool, words: str) -> None:
    assert words in state("172.18.0.1", {}, expose=expose).json()["message"]
