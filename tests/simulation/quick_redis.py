"""fakeredis with less work for each command: what is stored and what is answered stays the same.

The commands of :data:`QUICK` work on fakeredis' own data without its checks of arguments and types. Whatever they do
not expect (another type, an option, another number of arguments) is left to fakeredis. Single commands of a client
go to the server as they are, not as bytes of the protocol that are parsed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import fakeredis
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis._core import Database
from fakeredis._core._database import Item
from fakeredis._helpers import OK, SimpleString
from fakeredis._socket import FakeSocket, _base
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE, _convert_redis_arg
from fakeredis.model import ExpiringMembersSet, Hash

LEFT = object()
"""A quick command leaves this call to fakeredis."""

Quick = Callable[..., Any]
QUICK: dict[bytes, tuple[int, Quick]] = {}
"""By name, with the number of arguments; 0 is any number from one on."""

LARGE = 2**62


def _quick(name: str, count: int) -> Callable[[Quick], Quick]:
    def add(run: Quick) -> Quick:
        QUICK[name.encode()] = QUICK[name.lower().encode()] = (count, run)
        return run

    return add


def _found(db: Database, key: bytes) -> Any:
    item = db._dict.get(key)
    if item is not None and item.expireat is not None and item.expireat < db.time:
        del db._dict[key]
        return None
    return item


def _changed(db: Database, key: bytes) -> None:
    if db._watches:
        for socket in db._watches.get(key, ()):
            socket.notify_watch()


def _hash(db: Database, key: bytes) -> Any:
    """The fields of a hash; None when there is none, and LEFT when it is another thing."""
    item = _found(db, key)
    if item is None:
        return None
    value = item.value
    return value._values if type(value) is Hash and not value._expiry_heap else LEFT


@_quick("TIME", -1)
def _time(db: Database) -> list[bytes]:
    seconds, micros = divmod(round(db.time * 1_000_000), 1_000_000)
    return [b"%d" % seconds, b"%d" % micros]


@_quick("TYPE", 1)
def _type(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return SimpleString(b"none")
    return SimpleString(b"list") if type(item.value) is list else LEFT


@_quick("EXISTS", 1)
def _exists(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    return 0 if item is None else int(bool(item.value) or isinstance(item.value, bytes))


@_quick("DEL", 0)
def _del(db: Database, *keys: bytes) -> Any:
    gone = 0
    for key in keys:
        item = _found(db, key)
        if item is not None:
            if not item.value and not isinstance(item.value, bytes):
                continue
            del db._dict[key]
            gone += 1
            _changed(db, key)
    return gone


@_quick("GET", 1)
def _get(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return None
    return item.value if type(item.value) is bytes else LEFT


@_quick("SET", 0)
def _set(db: Database, key: bytes, *words: bytes) -> Any:
    found = _found(db, key)
    expireat = None
    if len(words) != 1:
        if len(words) == 4 and words[1] in (b"NX", b"nx"):
            if found is not None:
                return None
            words = (words[0], *words[2:])
        if len(words) != 3 or words[1] not in (b"PX", b"px", b"EX", b"ex") or not words[2].isdigit():
            return LEFT
        amount = int(words[2])
        if not 0 < amount < LARGE >> 20:
            return LEFT
        expireat = db.time + (amount / 1000.0 if words[1] in (b"PX", b"px") else amount)
    if found is None:
        found = db._dict.setdefault(key, Item(None))
    found.value, found.expireat = words[0], expireat
    db.schedule_expiry(key, expireat)
    _changed(db, key)
    return OK


@_quick("HGET", 2)
def _hget(db: Database, key: bytes, field: bytes) -> Any:
    fields = _hash(db, key)
    return fields if fields is None or fields is LEFT else fields.get(field)


@_quick("HMGET", 0)
def _hmget(db: Database, key: bytes, *names: bytes) -> Any:
    fields = _hash(db, key)
    if fields is LEFT or not names:
        return LEFT
    return [None] * len(names) if fields is None else [fields.get(name) for name in names]


@_quick("HGETALL", 1)
def _hgetall(db: Database, key: bytes) -> Any:
    fields = _hash(db, key)
    if fields is None or fields is LEFT:
        return [] if fields is None else LEFT
    flat: list[bytes] = []
    for pair in fields.items():
        flat += pair
    return flat


@_quick("HSET", 0)
def _hset(db: Database, key: bytes, *words: bytes) -> Any:
    fields = _hash(db, key)
    if fields is LEFT or not words or len(words) % 2:
        return LEFT
    if fields is None:
        value = Hash()
        item = db._dict[key] = Item(value)
        item.value = value
        fields = value._values
    before = len(fields)
    for number in range(0, len(words), 2):
        fields[words[number]] = words[number + 1]
    _changed(db, key)
    return len(fields) - before


@_quick("HDEL", 0)
def _hdel(db: Database, key: bytes, *names: bytes) -> Any:
    fields = _hash(db, key)
    if fields is None or fields is LEFT or not names:
        return 0 if fields is None and names else LEFT
    gone = sum(fields.pop(name, LEFT) is not LEFT for name in names)
    if gone:
        if not fields:
            del db._dict[key]
        _changed(db, key)
    return gone


@_quick("HINCRBY", 3)
def _hincrby(db: Database, key: bytes, field: bytes, amount: bytes) -> Any:
    fields = _hash(db, key)
    if fields is None or fields is LEFT:
        return LEFT
    before = fields.get(field, b"0")
    try:
        number, more = int(before), int(amount)
    except ValueError:
        return LEFT
    if b"%d" % number != before or b"%d" % more != amount or abs(number + more) > LARGE:
        return LEFT
    fields[field] = b"%d" % (number + more)
    _changed(db, key)
    return number + more


@_quick("PERSIST", 1)
def _persist(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    if item is None or item.expireat is None:
        return 0
    item.expireat = None
    _changed(db, key)
    return 1


@_quick("PEXPIRE", 2)
def _pexpire(db: Database, key: bytes, ms: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return 0
    if not ms.isdigit() or not item.value:
        return LEFT
    item.expireat = db.time + int(ms) / 1000.0
    db.schedule_expiry(key, item.expireat)
    _changed(db, key)
    return 1


@_quick("SMEMBERS", 1)
def _smembers(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return []
    value = item.value
    return list(value._values) if type(value) is ExpiringMembersSet and not value._may_expire else LEFT


@_quick("LINDEX", 2)
def _lindex(db: Database, key: bytes, index: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return None
    if type(item.value) is not list or not index.lstrip(b"-").isdigit():
        return LEFT
    place = int(index)
    return item.value[place] if -len(item.value) <= place < len(item.value) else None


def quick(db: Database, name: bytes, words: Sequence[bytes]) -> Any:
    """The answer to a command as it is; LEFT where it is left to fakeredis."""
    known = QUICK.get(name)
    if known is None:
        return LEFT
    count, run = known
    if (count > 0 and count != len(words)) or (count == 0 and not words) or (count < 0 and words):
        return LEFT
    return run(db, *words)


class QuickSocket(FakeSocket):
    """A connection's other end whose scripts cost less."""

    is_quick = True

    def _lua_redis_call(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        words = [one if type(one) is bytes else _convert_redis_arg(one) for one in args]
        found = quick(self._db, op, words) if self.is_quick else LEFT
        if found is LEFT:
            return super()._lua_redis_call(lua_runtime, expected_globals, op, *words)
        kind = type(found)
        if kind is bytes or kind is int:
            return found
        return self._convert_redis_result(lua_runtime, found)

    def _convert_lua_result(self, result: Any, nested: bool = True) -> Any:
        kind = type(result)
        if kind is bytes or kind is int:
            return result
        if kind is not LUA_TABLE or result[1] is None:
            return super()._convert_lua_result(result, nested)
        found, number = [], 1
        while (one := result[number]) is not None:
            found.append(one if type(one) is bytes else self._convert_lua_result(one))
            number += 1
        return found

    def answer(self, fields: list[bytes]) -> Any:
        """The answer to one command; an error as a value."""
        self._db.time = _base.time.time()
        found = quick(self._db, fields[0], fields[1:]) if self.is_quick else LEFT
        if found is LEFT:
            self._process_command(fields)
            return cast("Any", self.responses).get_nowait()
        return found.value if type(found) is SimpleString else found


class _Lua:
    """A Lua runtime that compiles each script once, and does not look for garbage after each."""

    COLLECT_EVERY = 500

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[Any, Any] = {}
        self._runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, script: Any) -> Any:
        """Run a script."""
        if script == "collectgarbage()":
            self._runs += 1
            return self._runtime.execute(script) if self._runs % self.COLLECT_EVERY == 0 else None
        run = self._compiled.get(script)
        if run is None:
            run = self._compiled[script] = self._runtime.compile(script)
        return run()


class QuickServer(fakeredis.FakeServer):
    """A server whose scripts cost less."""

    _lua: _Lua

    @property
    def _lua_runtime(self) -> _Lua:
        return self._lua

    @_lua_runtime.setter
    def _lua_runtime(self, runtime: Any) -> None:
        self._lua = _Lua(runtime)


LUA_TABLE = type(LUA_MODULE.LuaRuntime().table())


class QuickConnection(FakeRedisConnection):
    """A connection whose other end is quick."""

    def _connect(self) -> FakeSocket:
        return QuickSocket(
            self._server,
            client_class=self._client_class,
            db=self.db,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )


class QuickRedis(fakeredis.FakeRedis):
    """A client whose single commands need no connection; pipelines take one."""

    _end: QuickSocket | None = None

    def around(self, _name: str) -> AbstractContextManager[None]:
        """What happens to a call before it has its effect, and after."""
        return nullcontext()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py does it, with its conversions of arguments and answers."""
        if self._end is None:
            connection = cast("QuickConnection", self.connection_pool.make_connection())
            self._end = connection._connect()
            self._encode = self.get_encoder().encode
        first, *rest = args
        encode = self._encode
        fields = [*first.encode().split(), *(one if type(one) is bytes else encode(one) for one in rest)]
        with self.around(first.partition(" ")[0]):
            found = self._end.answer(fields)
        if isinstance(found, Exception):
            raise found
        parse = self.response_callbacks.get(first)
        options.pop("keys", None)
        return found if parse is None else parse(found, **options)
