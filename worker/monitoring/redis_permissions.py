"""Whether a user of Redis may do what the worker does: asked of Redis itself, without touching what waits there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import redis
from celery import Celery
from redis.exceptions import NoPermissionError

from worker.environment.connections import WorkerScript

NEEDED = (
    "~pw:* ~predictions* ~_kombu.* ~unacked* ~*celery.pidbox* resetchannels &/0.celery.pidbox &/0.celeryev/* "
    "+@all -@admin -@dangerous +info +client|setname"
)
"""Rights that are enough with the default names of queue, inbox and prefix, as ``ACL SETUSER`` takes them."""

COMMANDS = """
DEL|EXISTS|TYPE|PERSIST|PTTL|EXPIRE 60|PEXPIRE 60000|GET|SET 1|MGET|INCR|INCRBY 1
HSET a 1|HSETNX a 1|HGET a|HMGET a|HGETALL|HVALS|HKEYS|HLEN|HEXISTS a|HINCRBY a 1|HDEL a|HSCAN 0
SADD a|SCARD|SISMEMBER a|SMISMEMBER a|SMEMBERS|SRANDMEMBER|SREM a|SSCAN 0
ZADD 1 a|ZCARD|ZCOUNT 0 1|ZSCORE a|ZMSCORE a|ZRANGE 0 1|ZRANGEBYSCORE 0 1|ZREMRANGEBYSCORE 0 1|ZREMRANGEBYRANK 0 1
ZREM a|ZPOPMIN|ZREVRANGE 0 1
RPUSH a|LPUSH a|LINDEX 0|LRANGE 0 1|LLEN|LREM 0 a|LTRIM 0 1|LPOP|RPOP
XADD * a 1|XLEN|XRANGE - +|XREVRANGE + -|XGROUP CREATE {key} g 0|XINFO STREAM {key}|XREADGROUP GROUP g c STREAMS {key} 0
XPENDING g|XCLAIM g c 0 1-1|XAUTOCLAIM g c 0 0|XACK g 1-1|XDEL 1-1|XTRIM MAXLEN 0|XGROUP DELCONSUMER {key} g c|DEL
"""
"""What the worker calls, on a key of its own; only whether Redis lets it counts, not what comes of it."""

PROBE = """
local denied = {}
for _, call in ipairs(cjson.decode(ARGV[1])) do
  local reply = redis.pcall(unpack(call))
  if type(reply) == 'table' and reply.err then denied[#denied + 1] = call[1] .. ' ' .. call[2] .. ': ' .. reply.err end
end
redis.pcall('DEL', ARGV[2])
return denied
"""

DENIED = re.compile(r"NOPERM|ACL failure|The user executing the script|no permissions", re.IGNORECASE)

PROBE_SECONDS = 5.0
"""How long Redis gets to answer a subscription."""

NOT_IN_SCRIPTS: dict[str, Callable[[redis.Redis, str], object]] = {
    "BRPOP": lambda client, scratch: client.brpop([scratch], timeout=0.01),
    "MULTI": lambda client, scratch: client.transaction(lambda _pipe: None, scratch),
}


def missing_rights(client: redis.Redis, scratch: str, keys: Sequence[str] = ()) -> list[str]:
    """What the client's user may not do, in a few words each; empty when it may do everything.

    Args:
        client: of a Redis.
        scratch: name of a key that is written and deleted again.
        keys: names that are only looked at and marked as lasting, which they are.

    Raises:
        redis.RedisError: it may not run scripts at all, or Redis is away.
    """
    calls = [_call(command, scratch) for line in COMMANDS.split("\n") for command in line.split("|") if command]
    calls += [[command, key] for key in keys for command in ("EXISTS", "PERSIST")]
    denied: Any = WorkerScript(client, PROBE)((), [json.dumps(calls), scratch])
    found = [text.decode("utf-8", "replace") for text in denied]
    for name, command in NOT_IN_SCRIPTS.items():
        try:
            command(client, scratch)
        except NoPermissionError as error:
            found.append(f"{name}: {error}")
    denials = [message.partition(": ")[0] for message in found if DENIED.search(message)]
    plain = {f"{command} {key}": f"use the key {key}" for key in keys for command in ("EXISTS", "PERSIST")}
    return list(dict.fromkeys(plain.get(message, message) for message in denials))


def keys_of_celery(app: Celery) -> list[str]:
    """The keys that Celery uses on a Redis, for ``missing_rights``; of those that hold a name, one each."""
    queues = [queue.name for queue in app.conf.task_queues]
    control = f"check.{app.control.mailbox.exchange.name}"
    return ["unacked", "unacked_index", *queues, control, *(f"_kombu.binding.{name}" for name in queues)]


def try_broker(app: Celery) -> None:
    """Connect as a starting worker does, to the channels of remote control and events as well; leaves nothing behind.

    Raises:
        Exception: whatever the broker refuses them with; kombu passes on the errors of each transport.
    """
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        if connection.transport.driver_type != "redis":
            return
        with connection.channel() as channel, channel.client.pubsub() as subscription:
            subscription.psubscribe(f"{channel.keyprefix_fanout}{app.control.mailbox.exchange.name}")
            subscription.get_message(timeout=PROBE_SECONDS)
        with app.events.Dispatcher(connection, buffer_while_offline=False) as events:
            events.send("worker-checked")


def _call(command: str, scratch: str) -> list[str]:
    name, *rest = command.split(" ")
    named = any("{key}" in word for word in rest)
    return [name, *(word.format(key=scratch) for word in rest)] if named else [name, scratch, *rest]
