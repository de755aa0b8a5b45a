"""Commands of Redis on fakeredis' own data, without its checks of arguments and types.

Whatever a command does not expect (another type, an option, another number of arguments) is left to fakeredis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fakeredis._command_args_parsing import Float
from fakeredis._core import Database
from fakeredis._core._database import Item
from fakeredis._helpers import OK, SimpleString
from fakeredis.model import ExpiringMembersSet, Hash, XStream, ZSet

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


def _length(db: Database, key: bytes, kind: type) -> Any:
    """How many a list or a stream holds."""
    item = _found(db, key)
    if item is None:
        return 0
    return len(item.value) if type(item.value) is kind else LEFT


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
        db._dict[key] = Item(value)
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
    return list(value) if type(value) is ExpiringMembersSet else LEFT


@_quick("LINDEX", 2)
def _lindex(db: Database, key: bytes, index: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return None
    if type(item.value) is not list or not index.lstrip(b"-").isdigit():
        return LEFT
    place = int(index)
    return item.value[place] if -len(item.value) <= place < len(item.value) else None


@_quick("LLEN", 1)
def _llen(db: Database, key: bytes) -> Any:
    return _length(db, key, list)


@_quick("PTTL", 1)
def _pttl(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    if item is None:
        return -2
    return -1 if item.expireat is None else LEFT


@_quick("ZRANGE", 0)
def _zrange(db: Database, key: bytes, *words: bytes) -> Any:
    if words[:1] != (b"0",) or words[1:2] not in ((b"0",), (b"-1",)) or words[2:] not in ((), (b"WITHSCORES",)):
        return LEFT
    item = _found(db, key)
    if item is None:
        return []
    if type(item.value) is not ZSet:
        return LEFT
    pairs = item.value._byscore if words[1] == b"-1" else item.value._byscore[:1]
    if len(words) == 2:
        return [member for _, member in pairs]
    flat = []
    for score, member in pairs:
        flat += [member, Float.encode(score, humanfriendly=False)]
    return flat


@_quick("XLEN", 1)
def _xlen(db: Database, key: bytes) -> Any:
    return _length(db, key, XStream)


@_quick("XADD", 0)
def _xadd(db: Database, key: bytes, *words: bytes) -> Any:
    stream = _stream(db, key)
    if stream is None or words[:1] != (b"*",) or len(words) < 3 or len(words) % 2 == 0:
        return LEFT
    entry = stream.next_id(None)
    if entry is None:
        return LEFT
    stream.add(words[1:], entry)
    _changed(db, key)
    return entry.encode()


@_quick("XDEL", 0)
def _xdel(db: Database, key: bytes, *ids: bytes) -> Any:
    stream = _stream(db, key)
    return LEFT if stream is None or not ids else stream.delete(ids)


@_quick("XACK", 0)
def _xack(db: Database, key: bytes, *words: bytes) -> Any:
    group = _group(db, key, words[:1])
    return LEFT if group is None or len(words) < 2 else group.ack(words[1:])


@_quick("XPENDING", 0)
def _xpending(db: Database, key: bytes, *words: bytes) -> Any:
    group = _group(db, key, words[:1])
    if group is None:
        return LEFT
    if len(words) == 1:
        return group.pending_summary()
    if len(words) != 5 or words[1:3] != (b"-", b"+") or not words[3].isdigit():
        return LEFT
    found = sorted([entry for entry, about in group.pel.items() if about.consumer_name == words[4]])[: int(words[3])]
    now = int(db.time * 1000)
    return [_pending_row(entry, group.pel[entry], now) for entry in found]


def _pending_row(entry: Any, about: Any, now: int) -> list[Any]:
    idle = now - about.time_read if about.time_read else -1
    return [entry.encode(), about.consumer_name, idle, about.times_delivered]


@_quick("XREADGROUP", 8)
def _xreadgroup(db: Database, *words: bytes) -> Any:
    _, name, consumer, _, count, _, key, start = words
    if (words[0], words[3], words[5], start) != (b"GROUP", b"COUNT", b"STREAMS", b">") or not count.isdigit():
        return LEFT
    group = _group(db, key, (name,))
    if group is None or count == b"0":
        return LEFT
    rows = group.group_read(consumer, start, int(count), False)
    return [[key, rows]] if rows else None


@_quick("XAUTOCLAIM", 7)
def _xautoclaim(db: Database, key: bytes, *words: bytes) -> Any:
    group, idle = _group(db, key, words[:1]), words[2]
    if group is None or not idle.isdigit() or words[4] != b"COUNT":
        return LEFT
    latest = db.time * 1000 - int(idle) + 1
    if any(entry.time_read <= latest for entry in group.pel.values()):
        return LEFT
    group.claim(int(idle), [], words[1], None, False)
    return [b"0-0", [], []]


@_quick("XCLAIM", 0)
def _xclaim(db: Database, key: bytes, *words: bytes) -> Any:
    group = _group(db, key, words[:1])
    if group is None or len(words) < 4 or words[2] != b"0":
        return LEFT
    just_id = words[-1] == b"JUSTID"
    ids = words[3:-1] if just_id else words[3:]
    if not all(one[:1].isdigit() for one in ids):
        return LEFT
    claimed, _ = group.claim(0, ids, words[1], None, False, justid=just_id)
    return [one.encode() if just_id else group.stream.format_record(one) for one in claimed]


@_quick("ZADD", 0)
def _zadd(db: Database, key: bytes, *words: bytes) -> Any:
    only_new = words[:1] == (b"NX",)
    if len(words) != 2 + only_new or not words[-2].lstrip(b"-").isdigit():
        return LEFT
    item, member = _found(db, key), words[-1]
    if item is None:
        item = db._dict[key] = Item(ZSet())
    elif type(item.value) is not ZSet:
        return LEFT
    is_new = member not in item.value
    if (is_new or not only_new) and item.value.add(member, 0.0 + float(words[-2])):
        _changed(db, key)
    return int(is_new)


@_quick("ZREM", 0)
def _zrem(db: Database, key: bytes, *members: bytes) -> Any:
    item = _found(db, key)
    if item is None or type(item.value) is not ZSet or not members:
        return 0 if item is None and members else LEFT
    zset = item.value
    before = len(zset)
    for member in members:
        zset.discard(member)
    if len(zset) != before:
        if not len(zset):
            del db._dict[key]
        _changed(db, key)
    return before - len(zset)


@_quick("RPUSH", 2)
def _rpush(db: Database, key: bytes, word: bytes) -> Any:
    item = _found(db, key)
    if item is None or type(item.value) is not list:
        return LEFT
    item.value.append(word)
    _changed(db, key)
    return len(item.value)


def _stream(db: Database, key: bytes) -> Any:
    item = _found(db, key)
    return item.value if item is not None and type(item.value) is XStream else None


def _group(db: Database, key: bytes, name: Sequence[bytes]) -> Any:
    stream = _stream(db, key)
    group = None if stream is None or not name else stream.group_get(name[0])
    if group is not None:  # nobody asks when a consumer was last seen, and that looks through all that is pending
        group._calc_consumer_last_time = _nothing
    return group


def _nothing() -> None:
    return None


def quick(db: Database, name: bytes, words: Sequence[bytes]) -> Any:
    """The answer to a command as it is; LEFT where it is left to fakeredis."""
    known = QUICK.get(name)
    if known is None:
        return LEFT
    count, run = known
    if (count > 0 and count != len(words)) or (count == 0 and not words) or (count < 0 and words):
        return LEFT
    return run(db, *words)
