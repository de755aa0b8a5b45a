"""Labels that Kili answers as an address instead of inline: fetched side by side, and none of them ends a round.

A file is read from Kili's own host or an allowed storage host only, redirects are not followed, and the API key goes
nowhere but to Kili's API. What cannot be read is told with the label; the round goes on without it. Later rounds come
back to its asset for some times, then its labels are counted as unreadable.

The key ``{prefix}feedback:{project}:unread`` is a hash from asset id to how often it was tried, how many labels it is
about, and why.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from worker.environment import clock
from worker.environment.connections import insist, threads, trusted
from worker.kili import KiliAccess

SIDE_BY_SIDE = 10
ATTEMPTS = 3
FILE_SECONDS = 10.0
PAGE_SECONDS = 30.0
"""All files of a page together; what is not read by then comes next time."""

SETTING = "WORKER_FEEDBACK__LABEL_HOSTS"
PASSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class FileRules:
    """What may be read: hosts with their subdomains beside the endpoint's own, bytes of one file; times in seconds."""

    hosts: tuple[str, ...] = ()
    max_bytes: int = 16_000_000
    file_seconds: float = FILE_SECONDS
    page_seconds: float = PAGE_SECONDS


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a file could not be read; ``tried`` is False when there was no time for it."""

    problem: str
    tried: bool = True


class _Passing(Exception):
    """A failure that another attempt may cure."""


class LabelFiles:
    """Fetches label files.

    Args:
        access: to Kili; its API gets the key.
        rules: what may be read.
        http: replaces the default client, for tests.
        stop: ends all waiting.
        executor: fetches several side by side.
    """

    def __init__(
        self,
        access: KiliAccess,
        rules: FileRules = FileRules(),
        *,
        http: httpx.Client | None = None,
        stop: threading.Event | None = None,
        executor: Callable[[int, str], Executor] = threads,
    ) -> None:
        self._access = access
        self._rules = rules
        self._is_own = http is None
        self._http = http or httpx.Client(verify=trusted(), follow_redirects=False)
        self._stop = stop or threading.Event()
        self._executor = executor
        self._endpoint = urlsplit(access.endpoint)
        self._api = access.endpoint.removesuffix("graphql")

    def fetch(self, addresses: Iterable[str]) -> dict[str, Mapping[str, Any] | Unread]:
        """The json_response at each address, or why it could not be read."""
        wanted = list(dict.fromkeys(addresses))
        if not wanted:
            return {}
        end = clock.monotonic() + self._rules.page_seconds
        with self._executor(SIDE_BY_SIDE, "label-file") as pool:
            found = pool.map(lambda address: self._read(address, end), wanted)
            return dict(zip(wanted, found, strict=True))

    def close(self) -> None:
        """Close the connections; a client that was given is its owner's to close."""
        if self._is_own:
            self._http.close()

    def _read(self, address: str, end: float) -> Mapping[str, Any] | Unread:
        rejection = self._rejection(address)
        if rejection:
            return Unread(rejection)
        problem = Unread("there was no time left in this round", tried=False)
        for attempt in range(ATTEMPTS):
            if self._stop.is_set() or clock.monotonic() >= end:
                break
            try:
                return _response(self._body(address, end))
            except _Passing as error:
                problem = Unread(str(error))
                clock.wait(self._stop, random.uniform(0, 0.2 * 2**attempt))
            except (ValueError, RecursionError, httpx.InvalidURL) as error:
                return Unread(self._access.scrub(str(error)))
        return problem

    def _rejection(self, address: str) -> str:
        """Why an address must not be read from; empty when it may."""
        try:
            parts = urlsplit(address)
            host = (parts.hostname or "").lower()
        except ValueError:
            return "its address is none"
        if parts.scheme != "https" and parts.scheme != self._endpoint.scheme:
            return f"its address begins with {parts.scheme}:"
        allowed = (self._endpoint.hostname or "", *self._rules.hosts)
        if not any(host == one or host.endswith(f".{one}") for one in allowed if one):
            return f"it is at {host}, a host that {SETTING} does not name"
        return ""

    def _body(self, address: str, end: float) -> bytes:
        headers = {"Authorization": f"X-API-Key: {self._access.api_key}"} if address.startswith(self._api) else {}
        seconds = min(self._rules.file_seconds, max(0.1, end - clock.monotonic()))
        try:
            with self._http.stream("GET", address, headers=headers, timeout=seconds) as answer:
                _check(answer.status_code)
                return self._whole(answer.iter_bytes(), clock.monotonic() + seconds)
        except httpx.HTTPError as error:
            raise _Passing(f"it cannot be read: {type(error).__name__}") from error

    def _whole(self, chunks: Iterable[bytes], end: float) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > self._rules.max_bytes:
                raise ValueError(f"it is larger than {self._rules.max_bytes:,} bytes")
            if clock.monotonic() > end:
                raise _Passing("it comes too slowly")
        return bytes(body)


def _check(status: int) -> None:
    if status in PASSES or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _Passing(f"the server answered {status}")
    if status != httpx.codes.OK:
        raise ValueError(f"the server answered {status}")


def _response(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - as all that is wrong with a file
    return found


MOST_CYCLES = 5
"""So many rounds try a file; after that only a day that is verified does."""


@dataclass(frozen=True, slots=True)
class UnreadLabels:
    """Labels whose files could not be read: those that are tried again, those given up, and why the last one."""

    waiting: int = 0
    unreadable: int = 0
    problem: str = ""


class UnreadBook:
    """What could not be read of one project.

    Args:
        client: of the spool's Redis, with ``decode_responses`` off.
        prefix: of every key of the worker.
        project: id.
    """

    def __init__(self, client: redis.Redis, prefix: str, project: str) -> None:
        self._redis = client
        self._key = f"{prefix}feedback:{project}:unread"

    def note(self, unread: Mapping[str, tuple[int, str, bool]], read: Iterable[str]) -> list[str]:
        """Remember assets with (labels, problem, whether it was tried), and forget those that were read.

        Returns:
            Those that are given up from now on.
        """
        done = list(read)
        if done:
            self._redis.hdel(self._key, *done)
        known = self._known(unread)
        given_up = []
        for asset_id, (labels, problem, tried) in unread.items():
            tries = known.get(asset_id, 0) + tried
            insist(self._redis, "HSET", self._key, asset_id, json.dumps([tries, labels, problem]))
            if tries == MOST_CYCLES and tried:
                given_up.append(asset_id)
        return given_up

    def waiting(self, limit: int) -> list[str]:
        """Assets to be read again, those tried least often first."""
        rows = [(row[0], asset_id) for asset_id, row in self._rows().items() if row[0] < MOST_CYCLES]
        return [asset_id for _, asset_id in sorted(rows)[:limit]]

    def forget(self, asset_ids: Iterable[str]) -> None:
        """These are no longer in Kili."""
        gone = list(asset_ids)
        if gone:
            self._redis.hdel(self._key, *gone)

    def clear(self) -> None:
        """Forget all."""
        self._redis.delete(self._key)

    def summary(self) -> UnreadLabels:
        """How many labels there are."""
        rows = self._rows().values()
        return UnreadLabels(
            waiting=sum(labels for tries, labels, _ in rows if tries < MOST_CYCLES),
            unreadable=sum(labels for tries, labels, _ in rows if tries >= MOST_CYCLES),
            problem=next((problem for _, _, problem in rows), ""),
        )

    def _known(self, asset_ids: Iterable[str]) -> dict[str, int]:
        wanted = list(asset_ids)
        if not wanted:
            return {}
        found: Any = self._redis.hmget(self._key, wanted)
        return {one: json.loads(text)[0] for one, text in zip(wanted, found, strict=True) if text is not None}

    def _rows(self) -> dict[str, tuple[int, int, str]]:
        found: Any = self._redis.hgetall(self._key)
        return {asset_id.decode(): tuple(json.loads(text)) for asset_id, text in found.items()}
