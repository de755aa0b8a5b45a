"""Every Lua script means the same on every server: each of its lines runs, and each number is written in digits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from tests.awaiting import awaited
from tests.integration.marked_scripts import heard, marked_script_of, marks_in, marks_of, text_of
from worker.delivery.item import Properties, WrittenLately
from worker.environment.connections import WorkerScript, connect, script_of
from worker.environment.embedded_redis import EmbeddedRedis
from worker.intake import IdReused, Inbox, InboxFull, PutLimits, RawMessage
from worker.intake.inbox import Side
from worker.kili.budget import CallBudget
from worker.review.histogram import Histogram, UntestedPool
from worker.spool import Arrival, Dead, Item, Leased, Outcome, SampledOut, Settlement, Spool, Waiting
from worker.spool.dead_letters import DeadLetters

SCRIPTS = {
    *(("worker.intake", f"scripts/{name}.lua") for name in ("expire_halves", "oldest", "put", "take", "waits")),
    ("worker.delivery", "made.lua"),
    ("worker.delivery", "written.lua"),
    ("worker.kili", "budget.lua"),
    ("worker.review", "untested.lua"),
    *(
        ("worker.spool", f"scripts/{name}.lua")
        for name in (
            "admit",
            "acquire",
            "came_late",
            "lease",
            "settle",
            "due",
            "renew",
            "release",
            "drop",
            "forget",
            "oldest",
            "hasten",
            "lanes",
            "letters",
        )
    ),
}
NO_DIGITS = re.compile(r"-0|-?\d+\.\d+|-?[\d.]+e[+-]?\d+|nan|-nan", re.IGNORECASE)
NUMBERS = {
    "-0": "0",
    "-(#{} + 0)": "0",
    "-0.4": "-1",
    "2.5": "2",
    "1e15": "1000000000000000",
    "1700000000000000 + 0.5": "1700000000000000",
    "2^53": "9007199254740992",
    "-(2^53)": "-9007199254740992",
    "1e17": "100000000000000000",
    "'-0'": "-0",
}


def test_every_script_is_toured() -> None:
    root = resources.files("worker")
    assert isinstance(root, Path)
    found = {str(path.relative_to(root.parent)) for path in root.rglob("*.lua")}
    assert found == {f"{package.replace('.', '/')}/{name}" for package, name in SCRIPTS} | {
        "worker/environment/prelude.lua"
    }


def test_every_script_is_loaded_behind_the_prelude() -> None:
    root = resources.files("worker")
    assert isinstance(root, Path)
    running = re.compile(r"register_script|script_load|\.eval\(")
    found = {path.name for path in root.rglob("*.py") if running.search(path.read_text("utf-8"))}
    assert found == {"connections.py"}


@pytest.mark.servers("all")
@pytest.mark.parametrize("command", ["call", "pcall"])
@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_enters_a_command_in_digits(client: redis.Redis, number: str, command: str) -> None:
    prelude = text_of("worker.environment", "prelude.lua")
    assert client.eval(f"{prelude} return redis.{command}('ECHO', {number})", 0) == NUMBERS[number].encode()


@pytest.mark.servers("all")
@pytest.mark.parametrize("number", ["1/0", "0/0"])
def test_what_is_no_number_is_refused_rather_than_written(client: redis.Redis, number: str) -> None:
    with pytest.raises(redis.ResponseError):
        client.eval(f"{text_of('worker.environment', 'prelude.lua')} redis.call('HINCRBY', 'h', 'f', {number})", 0)
    assert client.exists("h") == 0


@pytest.mark.servers("all")
@pytest.mark.guarantee(
    "Redis",
    fault="an older server: Redis 6.2 or 7.0 instead of the newest Valkey",
    promise="every script does the same",
)
def test_every_line_of_every_script_runs_and_writes_its_numbers_in_digits(
    redis_binary: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (
        "worker.delivery.item",
        "worker.spool.spool",
        "worker.spool.dead_letters",
        "worker.intake.inbox",
        "worker.kili.budget",
        "worker.review.histogram",
    )
    for place in places:
        monkeypatch.setattr(f"{place}.script_of", marked_script_of)
    with EmbeddedRedis(binary=redis_binary) as server, redis.Redis.from_url(server.url) as client:
        with heard(client) as commands:
            Tour(client).run()
        marks = marks_in(server.directory / "redis.log")
    wanted = {mark for package, name in SCRIPTS for mark in marks_of(name, text_of(package, name))}
    assert sorted(wanted - marks) == []
    strange = [words for words in commands if any(NO_DIGITS.fullmatch(word.strip('"')) for word in words)]
    assert len(commands) > 500
    assert strange == []


def test_the_tour_would_find_a_line_that_does_not_run() -> None:
    text = "local a = 1\nif a == 2 then return 3 end\n-- no\nreturn f(a,\n  a)"
    assert marks_of("x", text) == {"x:1", "x:2", "x:2+", "x:4"}


@pytest.mark.servers("all")
def test_a_full_memory_within_a_script_is_told_as_such_by_every_server(client: redis.Redis) -> None:
    script: WorkerScript = script_of(client, "worker.spool", "scripts/admit.lua")
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            script(args=["t:", "", "intake", "", 0])
    finally:
        client.config_set("maxmemory", 0)


class Flushed(redis.Redis):
    """A client of a server whose scripts are flushed before every command."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        super().execute_command("SCRIPT FLUSH")
        return super().execute_command(*args, **options)


@pytest.mark.servers("all")
def test_a_script_runs_however_often_the_scripts_are_flushed(client: redis.Redis) -> None:
    spool = Spool(Flushed(connection_pool=client.connection_pool), prefix="t:", lease_ms=1000, remember_ms=1000)
    assert spool.admit([Arrival("", (SampledOut("p"),))]).sampled_out == 1
    assert spool.acquire("p") is not None


@pytest.mark.servers("all")
def test_a_script_that_was_started_answers_later_and_on_another_connection_if_it_must(client: redis.Redis) -> None:
    script = WorkerScript(client, "return {KEYS[1], ARGV[1], redis.call('INCR', 'runs')}")
    found = [script.start(["k"], [bytearray(b"x")])() for _ in range(2)]
    assert found == [[b"k", b"x", 1], [b"k", b"x", 2]]
    client.script_flush()
    assert script.start(["k"], ["x"])()[2] == 3, "a script that the server does not know any more"
    other = redis.Redis(connection_pool=redis.ConnectionPool(**client.connection_pool.connection_kwargs))
    answer = script.start(["k"], ["x"])
    assert client.ping(), "meanwhile other commands are answered"
    assert answer()[2] == 4
    for known in other.client_list():
        if known["id"] != str(other.client_id()):
            other.client_kill_filter(_id=known["id"])
    assert script.start(["k"], ["x"])()[2] == 5, "its connection was lost"
    other.close()


@pytest.mark.servers("all")
def test_what_a_started_script_raises_is_raised_by_its_answer(client: redis.Redis) -> None:
    failing = WorkerScript(client, "return redis.call('HGET', 'text', 'x')").start
    client.set("text", "")
    for answer in (failing(), failing()):
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            answer()
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.OutOfMemoryError):
            WorkerScript(client, "return redis.call('SET', 'k', 'v')").start()()
    finally:
        client.config_set("maxmemory", 0)
    with pytest.raises(redis.DataError):
        WorkerScript(client, "return ARGV").start(args=[None])
    assert client.ping()


def test_a_script_that_cannot_be_started_is_run_when_its_answer_is_wanted() -> None:
    with EmbeddedRedis() as server, connect(server.url) as client:
        script = WorkerScript(client, "return redis.call('INCR', 'runs')")
        assert script.start()() == 1
        server.kill()
        answer = script.start()
        with pytest.raises(redis.ConnectionError):
            answer()
        answer = script.start()
        server.restart()
        assert answer() >= 1


def test_a_client_packs_the_arguments_of_scripts_as_others_do(redis_server: EmbeddedRedis) -> None:
    strange = ["é", b"\xff", bytearray(b"b"), memoryview(b"m"), 7, -0.5, ""]
    with connect(redis_server.url) as quick, redis.Redis.from_url(redis_server.url) as usual:
        found = [WorkerScript(one, "return ARGV")(args=strange) for one in (quick, usual)]
        assert found[0] == found[1]
        with pytest.raises(redis.DataError):
            WorkerScript(quick, "return ARGV")(args=[None])


class Tour:
    """Drives every script through everything it can do."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.spool = Spool(client, prefix="t:", lease_ms=60_000, remember_ms=60_000, late_ms=60_000)

    def run(self) -> None:
        self.admit_everything()
        self.lease_and_settle()
        self.recover()
        self.come_late()
        self.look_for_due_projects()
        self.forget_projects()
        self.take_from_the_doors()
        self.put_and_join()
        self.spend_the_budget()
        self.compare_scores()
        self.remember_what_was_written()

    def item(self, name: str, *, stamp: int = 5, digest: str = "bb", lane: int = 5, payload: bytes = b"{}") -> Waiting:
        return Waiting("p", lane, name, "m:1", stamp, digest, payload, b"{}")

    def put(self, *items: Item, replayed: str = "", entry_id: str = "", inbox: str = "", insist: bool = False) -> None:
        self.spool.admit([Arrival(entry_id, items, replayed, "stream")], inbox=inbox, insist=insist)

    def lease(self, token: str, **options: int) -> list[Leased]:
        wanted = {"items": 100, "max_bytes": 10**6, "aging_ms": 60_000, **options}
        return self.spool.lease("p", token, **wanted)

    def settle(self, token: str, entries: list[Leased], outcome: Outcome, delay_ms: int = 0) -> None:
        settlements = [Settlement(one, outcome, cause="bad", letter=b"{}", delay_ms=delay_ms) for one in entries]
        self.spool.settle("p", token, settlements)

    def letter_ids(self) -> list[str]:
        found: list[tuple[bytes, object]] = self.client.xrange("t:dead")  # type: ignore[assignment]
        return [letter_id.decode() for letter_id, _ in found]

    def admit_everything(self) -> None:
        self.put(self.item("a"), Dead("p", "bad", b"{}", b"x"), Dead("p", "bad", b"{}", b"y"), SampledOut("p"))
        self.put(self.item("a", stamp=4), self.item("a", digest="aa"), self.item("a"), insist=True)
        first, second = self.letter_ids()
        assert [one["original_bytes"] for one in DeadLetters(self.client, "t:").summaries([first, "1-1"])] == [1]
        for _ in range(2):
            self.put(self.item("b"), replayed=first)
        assert self.spool.drop(second)
        assert not self.spool.drop(second)
        self.put(Dead("p", "bad", b"{}", b"z"))
        self.put(self.item("c"), replayed=self.letter_ids()[0])
        self.put(self.item("far"), entry_id="7-1")
        self.client.xadd("in", {"payload": "x"}, id="1-1")
        self.put(self.item("no group"), entry_id="1-1", inbox="in")
        self.client.xgroup_create("in", "intake", id="0", mkstream=True)
        self.client.xadd("in", {"payload": "x"}, id="2-1")
        self.client.xreadgroup("intake", "one", {"in": ">"})
        self.put(self.item("pending"), entry_id="2-1", inbox="in")
        self.put(self.item("no entry"), inbox="in")

    def lease_and_settle(self) -> None:
        token = self.spool.acquire("p")
        assert token is not None
        assert self.spool.oldest_ms("p")
        assert self.spool.renew("p", token)
        assert not self.spool.renew("p", "another")
        self.put(self.item("stale", stamp=4), self.item("stale", stamp=6), self.item("same", digest="aa"))
        self.put(self.item("same", digest="cc"), *(self.item(f"r{n}", lane=9) for n in range(30)))
        self.put(self.item("shown", stamp=4, lane=9), self.item("shown", stamp=6, lane=9, payload=b'{"asset":{}}'))
        before = self.spool.backlog(["p"])["p"]
        self.lease(token, items=1, aging_ms=0)
        lanes = self.spool.backlog(["nobody", "p"])
        assert [lane.entries for lane in lanes["nobody"]] == [0] * 10
        assert sum(lane.waiting + lane.leased for lane in before) == sum(lane.entries for lane in before)
        assert sum(lane.leased for lane in lanes["p"]) == self.spool.ledger("p").leased == 1
        assert sum(lane.waiting for lane in lanes["p"]) == self.spool.ledger("p").waiting
        assert min(lane.oldest_ms for lane in lanes["p"] if lane.oldest_ms) == self.spool.oldest_ms("p")
        entries = self.lease(token)
        assert self.lease(token) == []
        self.settle(token, entries[:2], Outcome.DELIVERED)
        self.settle(token, entries[2:4], Outcome.SUPERSEDED)
        for _ in range(2):
            self.settle(token, entries[4:6], Outcome.DEAD)
        for letter_id in self.letter_ids():
            self.spool.drop(letter_id)
        self.settle(token, entries[6:8], Outcome.RETURNED)
        self.settle(token, entries[6:8], Outcome.DELIVERED)
        self.settle(token, entries[:8], Outcome.DELIVERED)
        self.settle(token, self.lease(token), Outcome.LATER, delay_ms=0)
        self.settle(token, entries[8:], Outcome.LATER, delay_ms=50)
        self.settle(token, entries[:1], Outcome.LATER, delay_ms=50)
        self.spool.hasten("p", token)
        assert self.lease(token)
        with pytest.raises(Exception, match="p"):
            self.spool.hasten("p", "another")
        other = Waiting("p", 5, "delivered", "m:2", 5, "bb", b"{}", b"{}")
        self.put(self.item("delivered"), other, self.item("forgotten"))
        self.client.delete("t:asset:forgotten")
        entries = self.lease(token)
        self.settle(token, entries[:1], Outcome.DELIVERED)
        self.settle(token, entries[1:], Outcome.DELIVERED)
        self.put(self.item("delivered", stamp=9), self.item("delivered again"))
        self.settle(token, self.lease(token), Outcome.RETURNED)
        self.put(self.item("delivered again", stamp=9))
        assert {entry.stamp for entry in self.lease(token)} == {9}
        self.deliver_one_of_two(token)
        with pytest.raises(Exception, match="p"):
            self.lease("another")
        with pytest.raises(Exception, match="p"):
            self.settle("another", [], Outcome.DELIVERED)
        self.spool.release("p", token)

    def deliver_one_of_two(self, token: str) -> None:
        """After lost memories one prediction may be in the spool twice."""
        self.put(self.item("twice"))
        self.client.delete("t:asset:twice")
        self.put(self.item("twice"))
        first, second = self.lease(token)
        self.settle(token, [first], Outcome.DELIVERED)
        self.settle(token, [second], Outcome.RETURNED)
        assert self.lease(token) == []

    def recover(self) -> None:
        token = self.spool.acquire("p")
        assert token is not None
        assert self.spool.acquire("p") is None
        assert self.lease(token)
        self.spool.release("p", "another")
        self.client.delete("t:lock:p")
        self.put(self.item("held"))
        token = self.spool.acquire("p")
        assert token is not None
        self.lease(token)
        self.client.delete("t:lock:p")
        assert self.spool.due(full=1, linger_ms=0, silence_ms=1) == ["p"]
        assert self.spool.acquire("p") is not None

    def come_late(self) -> None:
        def take() -> str:
            self.client.delete("t:lock:p")
            token = self.spool.acquire("p")
            assert token is not None
            return token

        token = take()
        both = Waiting("p", 5, "late", "m:2", 5, "bb", b"{}", b"{}")
        self.put(self.item("late"), both, self.item("gone"), self.item("late alone"))
        entries = {(entry.asset_id, entry.model): entry for entry in self.lease(token)}
        late, gone, alone = entries["late", "m:1"], entries["gone", "m:1"], entries["late alone", "m:1"]
        nowhere = replace(gone, lane=8)
        assert self.spool.came_late("p", [late, gone]) == 0, "nobody has taken the project"
        assert self.spool.came_late("p", [nowhere]) == 1
        self.client.xdel("t:lane:5:p", gone.entry_id)
        self.client.hset("t:late:p", mapping={"long ago": "1 5/1-1", "late alone": f"1 5/{alone.entry_id}"})
        self.client.delete("t:lock:p")
        _, known = self.spool.take("p")
        assert known.ends.keys() >= {"late", "late alone"}
        assert not known.ends.keys() & {"gone", "long ago"}
        assert (known.only["late"], known.only["late alone"]) == ("*", f"5/{alone.entry_id}")
        assert self.spool.came_late("p", [late, gone]) == 1
        self.client.delete("t:late:p")
        self.client.xack("t:lane:5:p", "delivery", gone.entry_id)

    def look_for_due_projects(self) -> None:
        def due(full: int = 1, linger_ms: int = 0) -> list[str]:
            return self.spool.due(full=full, linger_ms=linger_ms, silence_ms=1)

        self.put(self.item("due"))
        assert due() == []
        self.client.delete("t:lock:p")
        self.pause("project:p", 60_000)
        assert due() == []
        self.pause("endpoint", 60_000)
        assert due() == []
        self.pause("endpoint", -1)
        self.client.hdel("t:pauses", "project:p")
        self.spool.admit([Arrival("", (Waiting("q", 5, "q", "m:1", 5, "bb", b"{}", b"{}"),))])
        assert await_due(due) == ["p"], "one probe"
        self.client.delete("t:pauses")
        self.put_all_off()
        self.client.zadd("t:work", {"nobody": 1})
        self.client.sadd("t:held", "nobody")
        assert due(full=1000, linger_ms=10**6) == []

    def pause(self, scope: str, ms: int) -> None:
        seconds, _ = self.client.time()  # type: ignore[misc]
        self.client.hset("t:pauses", scope, json.dumps({"until": seconds * 1000 + ms}))

    def put_all_off(self) -> None:
        token = self.spool.acquire("p")
        assert token is not None
        self.settle(token, self.lease(token), Outcome.LATER, delay_ms=60_000)
        assert self.lease(token) == []
        self.spool.release("p", token)

    def forget_projects(self) -> None:
        soon = (int(time.time()) + 60) * 1000
        assert not self.spool.forget_project("never seen", soon)
        assert not self.spool.forget_project("p", 0)
        assert not self.spool.forget_project("p", soon), "something waits"
        self.spool.admit([Arrival("", (SampledOut("done"),))])
        token = self.spool.acquire("done")
        assert token is not None
        assert not self.spool.forget_project("done", soon)
        self.spool.release("done", token)
        assert self.spool.forget_project("done", soon)

    def take_from_the_doors(self) -> None:
        inbox = Inbox(self.client, key="doors", queue="celery", consumer="one")
        self.client.delete("doors")
        assert inbox.take(items=10, max_bytes=1000) == []
        inbox.open()
        assert inbox.take(items=10, max_bytes=1000) == []
        assert inbox.oldest_ms() is None
        assert inbox.is_empty()
        self.client.lpush("celery", "a", "b")
        assert inbox.backlogs() == {"inbox": 0, "celery": 2}
        self.client.set("celery:1", "no list")
        assert len(inbox.take(items=10, max_bytes=1000, insist=True)) == 2
        assert abs((inbox.oldest_ms() or 0) / 1000 - time.time()) < 60
        self.client.lpush("celery", *("c" * 10 for _ in range(20)))
        assert len(inbox.take(items=16, max_bytes=1000)) == 16
        assert inbox.take(items=10, max_bytes=1000)

    def put_and_join(self) -> None:
        self.client.delete("doors")
        inbox = Inbox(self.client, key="doors", queue="", consumer="one")
        roomy, brief = PutLimits(), PutLimits(max_entries=100, max_halves=1, pair_ms=0)
        one = RawMessage(b"{}", id="1")
        assert [stored.state for stored in inbox.put([one, RawMessage(b"{}")], "kafka", roomy)] == ["new", "new"]
        assert [stored.state for stored in inbox.put([one], "kafka", roomy, strict=True)] == ["repeated"]
        assert [stored.state for stored in inbox.put([RawMessage(b"[]", id="1")], "kafka", roomy)] == ["new"]
        with pytest.raises(IdReused):
            inbox.put([one], "kafka", roomy, strict=True)
        halves: list[tuple[str, Side]] = [(key, side) for key in "ab" for side in ("request", "response")]
        trace = (f"00-{1:032x}-{1:016x}-01", "a=b")
        inbox.put([RawMessage(b"{}", trace=trace), RawMessage(b"{}", trace=(trace[0], ""))], "kafka", roomy)
        events = [RawMessage(b"{}", "event", pair=half, trace=trace if half[0] == "b" else ("", "")) for half in halves]
        assert [inbox.put([event], "http", roomy)[0].state for event in events[:2]] == ["waiting", "joined"]
        assert inbox.put([events[0]], "http", roomy)[0].state == "repeated"
        assert inbox.put([events[3]], "http", brief)[0].state == "waiting"
        with pytest.raises(InboxFull):
            inbox.put([RawMessage(b"{}", "event", pair=("c", "request"))], "http", brief)
        assert inbox.expire_halves() == 1
        assert inbox.put([events[3]], "http", brief)[0].state == "waiting"
        assert inbox.put([events[2]], "http", brief)[0].state == "joined"
        with pytest.raises(InboxFull):
            inbox.put([one], "http", PutLimits(max_entries=1))
        assert inbox.pairs() == {"joined": 2, "repeated": 1, "orphan_responses": 1, "waiting": 0}

    def spend_the_budget(self) -> None:
        budget = CallBudget(self.client, scope="s", calls_per_minute=4, burst=4, window=0.2, margin=0)
        while budget.try_acquire() == 0:
            pass
        budget.peek()
        budget.penalise(0.001)
        budget.acquire()
        (log,) = self.client.keys("*budget:{s}:calls")  # type: ignore[misc]
        self.client.rpush(log, 9 * 10**15)
        budget.acquire()

    def compare_scores(self) -> None:
        """Scores as before, then shifted ones that all processes but one are too late for."""
        pool = UntestedPool(self.client, 60)
        for number, shifted in ((40, False), (90, True)):
            self.client.hincrby("t:scores", "0:40", 400)
            for key in ("t:scores", "t:pool"):
                self.client.hincrby(key, f"0:{number}", 60)
            found: dict[bytes, bytes] = self.client.hgetall("t:pool")  # type: ignore[assignment]
            counts: dict[bytes, bytes] = self.client.hgetall("t:scores")  # type: ignore[assignment]
            known = Histogram.from_counts({name.decode(): int(count) for name, count in counts.items()})
            told = [pool.compare(found, known, pool="t:pool", scores="t:scores") for _ in range(2)]
            assert told == [shifted, False]

    def remember_what_was_written(self) -> None:
        lately = WrittenLately(self.client, "t:")
        for written in ({"a": Properties({}, 5), "b": None}, {"a": None}):
            lately.note(written, made=written)
        assert (lately.properties(["a", "b"]), lately.made(["a", "b", "c"])) == ({}, {"a", "b"})


def await_due(due: Callable[[], list[str]]) -> list[str]:
    """What is due, once the silence between two hints is over."""
    found: list[str] = []
    awaited(lambda: found.extend(due()) or found, "something is due")
    return found
