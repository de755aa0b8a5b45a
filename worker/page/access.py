"""Who may see the page, who may act, and the log of who did what.

There are two tokens, and sessions that are signed. The newest entries of the audit log are in Redis, all of them in the
worker's log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import redis
from itsdangerous import BadData, URLSafeSerializer

from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.settings.source_groups import PageSettings

COOKIE = "prediction_worker_page"
MAX_COOKIE = 2000
MAX_NAME = 60
TRIES = 10
TRIES_SECONDS = 60.0
"""So many wrong tokens an address may send in this time."""

ADDRESSES = 10_000


class Role(StrEnum):
    """What somebody may do."""

    READER = "reader"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has logged in: what he may do, what he calls himself, when he came, and what his forms carry."""

    role: Role
    name: str
    at: float
    form: str

    @property
    def may_act(self) -> bool:
        """Whether he may change anything."""
        return self.role is Role.OPERATOR

    def has_sent(self, given: str) -> bool:
        """Whether a form is one of this session's own."""
        return hmac.compare_digest(given.encode(), self.form.encode())


def stored_key(client: redis.Redis, prefix: str) -> bytes:
    """The fleet's secret of sessions; made by whoever asks first. Raises redis.RedisError."""
    name = f"{prefix}page:key"
    found = client.get(name)
    if not isinstance(found, bytes):
        insist(client, "SETNX", name, secrets.token_hex(32))
        found = client.get(name)
    if not isinstance(found, bytes) or len(found) < 64:
        raise redis.ResponseError(f"{name} holds no key; delete it")
    return found


class Sessions:
    """Lets people in, and knows them again.

    Args:
        settings: hold the tokens.
        key: reads the fleet's secret.
    """

    def __init__(self, settings: PageSettings, key: Callable[[], bytes]) -> None:
        own = {Role.OPERATOR: settings.token, Role.READER: settings.read_token}
        self._tokens = {role: token.get_secret_value().encode() for role, token in own.items() if token is not None}
        self._seconds = settings.session_hours * 3600
        self._read_key = key
        self._signer: URLSafeSerializer | None = None

    def role_of(self, token: str) -> Role | None:
        """What a token allows; takes the same time whatever is wrong."""
        given = token.encode("utf-8", "surrogatepass")
        equal = [role for role, known in self._tokens.items() if hmac.compare_digest(given, known)]
        return equal[0] if equal else None

    def begin(self, role: Role, name: str) -> str:
        """The cookie of a new session. Raises redis.RedisError."""
        shown = "".join(letter for letter in name if letter.isprintable()).strip()[:MAX_NAME]
        return self._signed().dumps(asdict(Session(role, shown, clock.now(), secrets.token_urlsafe(24))))

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is none of ours, or too old. Raises redis.RedisError."""
        if not cookie or len(cookie) > MAX_COOKIE:
            return None
        try:
            found: Any = self._signed().loads(cookie)
        except BadData:
            return None
        session = Session(Role(found["role"]), found["name"], found["at"], found["form"])
        is_young = 0 <= clock.now() - session.at < self._seconds
        return session if is_young and session.role in self._tokens else None

    def _signed(self) -> URLSafeSerializer:
        if self._signer is None:
            tokens = b"\n".join(self._tokens.get(role, b"") for role in Role)
            key = hmac.digest(self._read_key(), tokens, hashlib.sha256)
            self._signer = URLSafeSerializer(key, salt="session", signer_kwargs={"digest_method": hashlib.sha256})
        return self._signer


class LoginLimit:
    """Counts wrong tokens by address, so that nobody tries many."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._guard = threading.Lock()

    def seconds_left(self, address: str) -> float:
        """Seconds until an address may try again; 0.0: now."""
        with self._guard:
            since, count = self._failed.get(address, (0.0, 0))
            left = since + TRIES_SECONDS - clock.monotonic()
            return left if count >= TRIES and left > 0 else 0.0

    def failed(self, address: str) -> None:
        """An address has sent a wrong token."""
        now = clock.monotonic()
        with self._guard:
            since, count = self._failed.pop(address, (now, 0))
            self._failed[address] = (now, 1) if now - since > TRIES_SECONDS else (since, count + 1)
            while len(self._failed) > ADDRESSES:
                self._failed.popitem(last=False)


logger = logging.getLogger(__name__)

KEPT = 10_000
MAX_TEXT = 4000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that an operator did: ``what`` was done to ``target``; ``outcome`` in words, ``detail`` at length."""

    at: float
    who: str
    address: str
    what: str
    target: str
    outcome: str
    detail: str = ""


class AuditLog:
    """The entries of a fleet's operators, in the stream ``page:audit``.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}page:audit"

    def note(self, who: str, address: str, what: str, target: str, outcome: str, detail: str = "") -> None:
        """Note an entry. Raises redis.RedisError: it is in the log alone."""
        entry = AuditEntry(clock.now(), who, address, what, target[:MAX_TEXT], outcome[:MAX_TEXT], detail[:MAX_TEXT])
        extra = {"action": "operator_acted", "who": who, "address": address, "target": entry.target}
        logger.info("%s: %s", what, outcome, extra={**extra, "entry": what})
        insist(self._redis, "XADD", self._key, "MAXLEN", "~", KEPT, "*", "entry", json.dumps(asdict(entry)))

    def latest(self, count: int, before: str = "+") -> list[tuple[str, AuditEntry]]:
        """Entries with their ids, newest first, from before an id."""
        found: Any = self._redis.xrevrange(self._key, before if before == "+" else f"({before}", "-", count)
        return [(entry_id.decode(), of_stored(AuditEntry, fields[b"entry"])) for entry_id, fields in found]
