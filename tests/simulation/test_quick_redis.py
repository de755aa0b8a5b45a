"""The quick commands of the simulated Redis answer and store what fakeredis does, and the rest is left to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.simulation.actors import Episode
from tests.simulation.quick_commands import QUICK
from tests.simulation.quick_redis import QuickSocket
from tests.simulation.run import Plan, simulate
from tests.simulation.servers import SimulatedRedis, fakeredis_time
from tests.simulation.world import BEGIN, World

Command = list[str | bytes | int]

COMMANDS = 2000
"""Drawn by one seed; every quick command comes about sixty times."""

SHORT = Plan(
    seed=3,
    days=0.002,
    workers=2,
    producers=((0, "m0", "1", 0.5), (2, "m1", "1", 0.2)),
    episodes=(Episode("503", BEGIN + 30, 60.0, chance=0.5), Episode("redis cuts", BEGIN + 100, 20.0)),
    pauses=0.1,
    mean_between_harm=60.0,
)

CALL = "return redis.call(unpack(ARGV))"
PCALL = "local found = redis.pcall(unpack(ARGV)) if type(found) == 'table' then return #found end return found"


def _drawn(dice: random.Random) -> Command:
    """A command with arguments that it mostly, and not always, expects, on one of a few keys of every type."""

    def some(*words: str) -> str:
        return dice.choice(words)

    key, field, number = some("a", "b", "c", "d", "e"), some("f", "g", "h"), str(dice.randint(-2, 30))
    stream = some("s", "s", key)
    consumer, just_id = some("one", "two"), dice.choice(((), ("JUSTID",)))
    entry = f"{int(BEGIN * 1000) + dice.randint(0, 40)}-0"
    drawn: dict[str, Callable[[], Command]] = {
        "TIME": list,
        "TYPE": lambda: [stream],
        "EXISTS": lambda: [stream],
        "DEL": lambda: [key, some("d", "e", "e", "s")],
        "GET": lambda: [key],
        "SET": lambda: [key, number, *dice.choice(((), ("PX", number), ("EX", number), ("NX", "PX", "9"), ("NX",)))],
        "HGET": lambda: [key, field],
        "HMGET": lambda: [key, field, "g"],
        "HGETALL": lambda: [key],
        "HSET": lambda: [key, field, number, *dice.choice(((), ("g", "1"), ("odd",)))],
        "HDEL": lambda: [key, field, *dice.choice(((), ("g",)))],
        "HINCRBY": lambda: [key, field, dice.choice((number, "1", "x", "1.5"))],
        "PERSIST": lambda: [stream],
        "PEXPIRE": lambda: [key, dice.choice((number, "20000", "-5"))],
        "SMEMBERS": lambda: [key],
        "LINDEX": lambda: [key, dice.choice((number, "0", "-1", "x"))],
        "LLEN": lambda: [key],
        "PTTL": lambda: [key],
        "RPUSH": lambda: [key, *dice.choice(((number,), (number, "2")))],
        "ZADD": lambda: [key, *dice.choice(((), ("NX",), ("GT",))), dice.choice((number, "1.5", "x")), field],
        "ZREM": lambda: [key, field, *dice.choice(((), ("g",)))],
        "ZRANGE": lambda: [key, "0", some("0", "-1", "1"), *dice.choice(((), ("WITHSCORES",), ("REV",)))],
        "XLEN": lambda: [stream],
        "XADD": lambda: [stream, some("*", "*", "*", entry), field, number, *dice.choice(((), ("g", "1"), ("odd",)))],
        "XDEL": lambda: [stream, entry],
        "XACK": lambda: [stream, "group", entry],
        "XPENDING": lambda: [
            stream,
            some("group", "group", "none"),
            *dice.choice(((), ("-", "+", number, consumer), (entry, "+", "9", consumer), ("-", "+", "9"))),
        ],
        "XREADGROUP": lambda: ["GROUP", "group", consumer, "COUNT", "2", "STREAMS", "s", some(">", "0")],
        "XAUTOCLAIM": lambda: [stream, "group", consumer, number.lstrip("-"), "0-0", "COUNT", "3"],
        "XCLAIM": lambda: [stream, "group", consumer, some("0", "0", "9"), entry, *just_id],
        # those that only make what the quick ones meet
        "XGROUP CREATE": lambda: [some("s", "s", "s", key), "group", "0", "MKSTREAM"],
        "SADD": lambda: [key, field, number],
    }
    missing = {name.decode() for name in QUICK if name.isupper()} - set(drawn)
    assert not missing, f"quick commands that are not compared: {missing}"
    name = dice.choice(list(drawn))
    return [name, *drawn[name]()]


def _answer(client: redis.Redis, how: str, command: Command) -> Any:
    options = {"parse_detail": True} if command[0] == "XPENDING" and len(command) > 3 else {}  # as xpending_range
    try:
        match how:
            case "single":
                return client.execute_command(*command, **options)
            case "pipeline":
                with client.pipeline(transaction=False) as pipe:
                    pipe.execute_command(*command, **options)
                    return pipe.execute(raise_on_error=False)[0].__repr__()
            case "transaction":
                with client.pipeline(transaction=True) as pipe:
                    pipe.execute_command("HINCRBY", "told", "times", 1)
                    pipe.execute_command(*command, **options)
                    return repr(pipe.execute(raise_on_error=False))
        words = [*str(command[0]).split(), *command[1:]]
        return client.eval(CALL if how == "script" else PCALL, 0, *words)
    except redis.ResponseError as error:
        return f"{type(error).__name__}: {error}"


def _stored(store: SimulatedRedis) -> Iterator[Any]:
    """Everything in the server, in its order."""
    for key, item in store.server.dbs[0]._dict.items():
        value = item.value
        groups = getattr(value, "_groups", {})
        pending = {name: (one.pel, one.last_delivered_key, list(one.consumers)) for name, one in groups.items()}
        kept = [getattr(value, name, None) for name in ("_values", "_bylex", "_values_dict", "_ids")]
        yield key, item.expireat, value if isinstance(value, bytes | list) else kept, pending


@pytest.fixture
def plain_redis(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether fakeredis does everything itself from now on."""
    return lambda is_plain: monkeypatch.setattr(QuickSocket, "is_quick", not is_plain)


def test_quick_commands_answer_and_store_what_fakeredis_does(plain_redis: Callable[[bool], None]) -> None:
    world, dice = World(1), random.Random(1)
    with fakeredis_time(world):
        quick, plain = SimulatedRedis(world), SimulatedRedis(world)
        for number in range(COMMANDS):
            command = _drawn(dice)
            how = dice.choice(("single", "pipeline", "transaction", "script", "careful script"))
            plain_redis(False)
            found = _answer(quick.plain, how, command)
            plain_redis(True)
            assert found == _answer(plain.plain, how, command), (number, how, command)
            if number % 50 == 0:
                assert list(_stored(quick)) == list(_stored(plain)), (number, how, command)
            world.now += dice.choice((0.0, 0.001, 0.01))


def test_the_world_is_the_same_with_and_without_quick_commands(plain_redis: Callable[[bool], None]) -> None:
    quick = simulate(SHORT)
    plain_redis(True)
    plain = simulate(SHORT)
    assert quick.problem == ""
    assert quick.published > 50
    assert (quick.fingerprint, quick.steps, quick.calls) == (plain.fingerprint, plain.steps, plain.calls)
