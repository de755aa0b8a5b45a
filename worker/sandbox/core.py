"""One sandbox: its state, its switches, its faults and its books."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from worker.sandbox.calls import CallLog, SlidingMinute
from worker.sandbox.clock import MILLISECONDS, Clock, iso
from worker.sandbox.config import ConfigError, SandboxConfig
from worker.sandbox.documents import Documents
from worker.sandbox.faults import Script
from worker.sandbox.records import ApiKey, User
from worker.sandbox.resolvers_projects import create_project
from worker.sandbox.schema import make_schema, read_sdl, version_of
from worker.sandbox.store import Store
from worker.sandbox.uploads import Buckets

FAR_AWAY = "2099-01-01T00:00:00.000Z"


class Sandbox:
    """Everything behind the HTTP surface."""

    def __init__(self, config: SandboxConfig, clock: Clock = time.time) -> None:
        """Start an empty Kili with one user per API key; `clock` tells Unix seconds."""
        sdl = read_sdl()
        self.config = config
        self.clock = clock
        self.version = version_of(sdl)
        self.schema = make_schema(sdl)
        self.documents = Documents(self.schema)
        self.store = Store(seed=config.seed, clock=clock)
        self.buckets = Buckets(self.store.new_id, config.seed)
        self.script = Script(config.faults, seed=config.seed)
        self.limiter = SlidingMinute(clock)
        self.calls = CallLog(clock)
        for key in config.api_keys:
            self.set_api_key(key, FAR_AWAY)
        self.store.set_read_lag(config.read_lag)

    def switch(self, changes: Mapping[str, Any]) -> None:
        """Change switches while running; raises ConfigError."""
        self.config = self.config.switched(changes)
        self.store.set_read_lag(self.config.read_lag)

    def set_api_key(self, key: str, expiry: str | float) -> ApiKey:
        """Create a key with its own user, or give a known one another expiry.

        `expiry` is ISO 8601 with milliseconds and Z, or seconds from now (negative: expired already).
        """
        if not isinstance(expiry, str):
            expiry = iso(self.clock() + expiry)
        if not key or not MILLISECONDS.match(expiry):
            raise ConfigError("expiry: give seconds from now, or a time such as 2030-01-01T00:00:00.000Z")
        known = self._api_key(key)
        record = ApiKey(
            id=known.id if known else self.store.new_id(),
            key=key,
            user_id=known.user_id if known else self._new_user().id,
            created_at=known.created_at if known else iso(self.clock()),
            expiry_date=expiry,
        )
        self.store.put(record)
        return record

    def user_of(self, key: str) -> User | None:
        """Return the user of a key that is known and has not expired; nobody when the user is suspended."""
        record = self._api_key(key)
        if record is None or record.revoked or record.expiry_date <= iso(self.clock()):
            return None
        user = self.store.tables.users[record.user_id]
        return user if user.activated else None

    def add_project(self, project_id: str, data: Mapping[str, Any]) -> None:
        """Create a project of the first key's user from a CreateProjectData; raises KiliError."""
        author = self.user_of(self.config.api_keys[0])
        if author is not None:
            create_project(self.store, author, data, project_id)

    def _api_key(self, key: str) -> ApiKey | None:
        return next((known for known in self.store.tables.api_keys.values() if known.key == key), None)

    def _new_user(self) -> User:
        number = len(self.store.tables.users) + 1
        user = User(
            id=self.store.new_id(),
            email=f"bot-{number}@sandbox.example",
            firstname="Bot",
            lastname=str(number),
        )
        self.store.put(user)
        return user
