"""What is wrong or dangerous about a configuration, and how to mend it.

Whether a user of Redis may do what the worker does is asked of Redis itself, without touching what waits there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import redis
from celery import Celery
from redis.exceptions import NoPermissionError

from worker.environment.connections import WHERE, WorkerScript, connect
from worker.kili import CallBudget, KiliError
from worker.projects.configuration import ProjectsFileError, review_gaps, review_text, scorer_missing
from worker.projects.results import SETTING as RESULT_PLACES
from worker.projects.results import ResultPlaces
from worker.review import PolicyError
from worker.settings.tree import Settings, unknown_names
from worker.sources import make_sources
from worker.wiring import access_of, budget_of, kili_of, projects_of, spool_of

OLDEST_REDIS = (6, 2)

NEEDED = (
    "~pw:* ~predictions* ~_kombu.* ~unacked* ~*celery.pidbox* resetchannels &/0.celery.pidbox &/0.celeryev/* "
    "+@all -@admin -@dangerous +info +client|setname"
)
"""Rights that are enough with the default names of queue, inbox and prefix, as ``ACL SETUSER`` takes them."""


RIGHTS = f"give the user the rights that docs/operations.md names: ACL SETUSER … {NEEDED}"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``refused`` keeps the worker from starting, ``warning`` does not."""

    name: str
    level: Literal["ok", "warning", "refused"]
    problem: str = ""
    fix: str = ""


def startup_checks(settings: Settings) -> list[Check]:
    """Everything that is looked at before the worker starts: settings, Redis and broker, not Kili."""
    servers = list(redis_checks(settings))
    if all(check.level != "refused" for check in servers):
        servers += broker_checks(settings)
    return [*setting_checks(settings), *servers]


def setting_checks(settings: Settings) -> Iterator[Check]:
    """Settings that cannot work, or would hurt later."""
    yield _key(settings)
    yield _transport(settings)
    yield _visibility(settings)
    yield _roots(settings)
    yield _places(settings)
    yield _sizes(settings)
    yield _celery_check(settings)
    yield _heartbeat(settings)
    yield _stalled(settings)
    yield _sources(settings)
    yield _projects_file(settings)
    yield from _review(settings)
    yield from _names(settings)


def redis_checks(settings: Settings) -> Iterator[Check]:
    """The spool's Redis, and the broker's when it is another."""
    urls = {"redis": settings.redis}
    if settings.broker_is_redis and settings.broker != settings.redis:
        urls["broker"] = settings.broker
    for name, url in urls.items():
        client = connect(url)
        try:
            info = client.info()
            yield from _server(name, info)
            yield from _rights(name, settings, client)
        except NoPermissionError as error:
            yield Check(name, "refused", str(error), RIGHTS)
        except (redis.RedisError, OSError) as error:
            yield Check(name, "refused", f"cannot be reached: {error}".removesuffix(f"; {WHERE}"), WHERE)


def broker_checks(settings: Settings) -> Iterator[Check]:
    """The broker as Celery uses it: its queue, and the channels of remote control and events."""
    from worker.app import create_app

    try:
        try_broker(create_app(settings))
    except NoPermissionError as error:
        yield Check("celery", "refused", str(error), RIGHTS)
    except Exception as error:  # noqa: BLE001 - every transport of kombu has errors of its own
        message = str(error) or type(error).__name__
        yield Check(
            "celery", "refused", f"the broker cannot be used: {message}", "check CELERY_BROKER_URL and REDIS_URL"
        )
    else:
        yield Check("celery", "ok", "the broker and its channels can be used")


def _rights(name: str, settings: Settings, client: redis.Redis) -> Iterator[Check]:
    """Whether the user may do what the worker does."""
    from worker.app import create_app

    keys = []
    if name == "broker" or settings.broker == settings.redis:
        keys = [f"{settings.intake.broker_key_prefix}{settings.intake.queue}", settings.intake.inbox]
        keys += keys_of_celery(create_app(settings))
    denied = missing_rights(client, f"{settings.spool.prefix}check", keys)
    if denied:
        more = f" and {len(denied) - SHOWN} more" if len(denied) > SHOWN else ""
        yield Check(name, "refused", f"its user may not {', '.join(denied[:SHOWN])}{more}", RIGHTS)


def kili_checks(settings: Settings, project: str | None) -> Iterator[Check]:
    """Endpoint, key and a project's interface; costs one or two calls."""
    try:
        client = kili_of(settings, _budget(settings), attempts=2)
        viewer = client.viewer()
        yield Check("kili", "ok", f"signed in as {viewer.get('email')}")
        project = project or settings.default_project
        if project:
            found = client.project_interface(project)
            jobs = ", ".join(found.json_interface.get("jobs", {})) or "no jobs"
            yield Check("project", "ok", f"{found.title}: {found.input_type}, {jobs}")
    except (KiliError, ValueError) as error:
        yield Check("kili", "refused", str(error), "check KILI_API_KEY, KILI_API_ENDPOINT and the project id")


def _budget(settings: Settings) -> CallBudget:
    return budget_of(settings, spool_of(settings))


def _key(settings: Settings) -> Check:
    try:
        access_of(settings)
    except ValueError as error:
        return Check(
            "KILI_API_KEY",
            "refused",
            str(error).removeprefix("KILI_API_KEY "),
            "set KILI_API_KEY, or KILI_API_KEY_FILE",
        )
    return Check("KILI_API_KEY", "ok")


def _transport(settings: Settings) -> Check:
    parts = urlsplit(settings.kili_api_endpoint)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return Check("KILI_API_ENDPOINT", "warning", "the API key travels in clear text", "use https://")
    return Check("KILI_API_ENDPOINT", "ok")


def longest_call_seconds(settings: Settings) -> float:
    """Upper bound of one call with all its repeats and waits."""
    kili = settings.kili
    return 2 * kili.timeout_seconds * 2 + kili.attempts * kili.backoff_cap_seconds + kili.retry_after_cap_seconds


def _visibility(settings: Settings) -> Check:
    name = "WORKER_INTAKE__VISIBILITY_SECONDS"
    longest = longest_call_seconds(settings)
    if settings.intake.visibility_seconds < longest:
        problem = f"{settings.intake.visibility_seconds} s is shorter than the longest call ({longest:g} s)"
        return Check(name, "refused", problem, f"set it to at least {int(longest) + 1}")
    return Check(name, "ok")


def _roots(settings: Settings) -> Check:
    name = "WORKER_INTAKE__PATH_ROOTS"
    if any(root.resolve() == Path("/") for root in settings.intake.path_roots):
        return Check(name, "refused", "lets messages read every file of this machine", "name the folders of the assets")
    missing = [str(root) for root in settings.intake.path_roots if not root.is_dir()]
    if missing:
        return Check(name, "warning", f"no such folder: {', '.join(missing)}", "mount or create it")
    return Check(name, "ok")


def _places(settings: Settings) -> Check:
    try:
        folders = ResultPlaces(settings.intake.result_places).folders
    except ValueError as error:
        return Check(RESULT_PLACES, "refused", str(error), "correct the place")
    if any(folder.resolve() == Path("/") for folder in folders):
        problem = "lets messages read every file of this machine"
        return Check(RESULT_PLACES, "refused", problem, "name the folders of the results")
    return Check(RESULT_PLACES, "ok")


def _sizes(settings: Settings) -> Check:
    name = "WORKER_DELIVERY__WAVE_ITEMS"
    delivery = settings.delivery
    if delivery.wave_items < delivery.batch_items or delivery.wave_bytes < delivery.batch_bytes:
        return Check(name, "refused", "a wave is smaller than a batch", "make waves at least as large as batches")
    return Check(name, "ok")


def _celery_check(settings: Settings) -> Check:
    name = "WORKER_INTAKE__INBOX"
    intake = settings.intake
    if intake.inbox == f"{intake.broker_key_prefix}{intake.queue}":
        return Check(name, "refused", "is the Celery queue's key, which is a list and no stream", "name another key")
    return Check(name, "ok")


def _heartbeat(settings: Settings) -> Check:
    """The heartbeat is written beside the file first, then put into its place."""
    name = "WORKER_HEARTBEAT_FILE"
    path = settings.heartbeat_file
    if path.is_dir():
        return Check(name, "refused", f"{path} is a folder", "name a file in it")
    if not os.access(path.parent, os.W_OK | os.X_OK) or not path.parent.is_dir():
        return Check(name, "refused", f"no file can be written in {path.parent}", "name a folder that is there")
    return Check(name, "ok")


def _stalled(settings: Settings) -> Check:
    """A worker that waits for one long call is not stuck."""
    name, longest = "WORKER_HTTP__STALLED_SECONDS", longest_call_seconds(settings)
    if settings.http.listen and settings.http.stalled_seconds < longest:
        problem = f"{settings.http.stalled_seconds:g} s is shorter than the longest call ({longest:g} s)"
        return Check(name, "warning", problem, f"set it to at least {int(longest) + 1}, or /livez may end it")
    return Check(name, "ok")


def _sources(settings: Settings) -> Check:
    try:
        make_sources(settings)
    except ValueError as error:
        return Check("WORKER_SOURCES", "refused", str(error), "correct it; docs/operations.md lists the sources")
    return Check("WORKER_SOURCES", "ok", ", ".join(settings.sources))


def _projects_file(settings: Settings) -> Check:
    try:
        projects_of(settings)
    except ProjectsFileError as error:
        return Check("WORKER_PROJECTS_FILE", "refused", str(error), "correct the file")
    return Check("WORKER_PROJECTS_FILE", "ok")


def _review(settings: Settings) -> Iterator[Check]:
    """What is in force, and what it cannot give."""
    try:
        gaps = list(review_gaps(settings.review))
    except PolicyError as error:
        fix = "correct the file; `prediction-worker policy show` reads it"
        yield Check("WORKER_REVIEW__POLICY", "refused", str(error), fix)
        return
    missing = "; by the score alone, since numpy is not installed" if scorer_missing(settings.review) else ""
    yield Check("review", "ok", f"{review_text(settings.review)}{missing}")
    for problem, fix in gaps:
        yield Check("review", "warning", problem, fix)


def _names(_settings: Settings) -> Iterator[Check]:
    """Variables that look like settings and are none: a misspelt one would silently do nothing."""
    for name, near in unknown_names():
        if near is not None or "__" in name:
            fix = f"did you mean {near}?" if near else "`prediction-worker check --explain` lists every setting"
            yield Check(name, "refused", "is no setting", fix)
        else:
            yield Check(name, "warning", "is no setting", "unset it, if it is not meant for another program")


def _server(name: str, info: dict[str, Any]) -> Iterator[Check]:
    version = tuple(int(part) for part in str(info.get("redis_version", "0.0")).split(".")[:2])
    if version < OLDEST_REDIS:
        yield Check(name, "refused", f"version {info['redis_version']} is too old", "use Redis 6.2 or newer, or Valkey")
    if info.get("cluster_enabled"):
        yield Check(name, "refused", "is a Redis Cluster", "use a single server, with replicas if wanted")
    if info.get("role") == "slave":
        yield Check(name, "refused", "is a replica, which takes no writes", "name the primary")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        problem = f"maxmemory-policy is {policy}: waiting predictions could be evicted"
        yield Check(name, "refused", problem, "set maxmemory-policy noeviction")
    if not info.get("aof_enabled"):
        yield Check(name, "warning", "keeps no append-only file: a restart loses what waits", "set appendonly yes")
    else:
        yield Check(name, "ok", f"version {info.get('redis_version')}, append-only file on")


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
