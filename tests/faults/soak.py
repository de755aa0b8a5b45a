"""Everything goes wrong at once, by a seed: ``python -m tests.faults.soak --seconds 1200 --seed 1``.

Messages come through both doors while workers are killed and stopped, Redis is killed, paused, filled and restarted,
and Kili refuses, hangs, resets, loses answers, lags, and changes its mind about sent ids and batches. A thread reads
the conservation sum all the while. At the end the harm stops, everything settles, and the judge decides. A seed fixes
every choice; what the processes make of the timing it cannot fix.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from tests.awaiting import PATIENCE, awaited
from tests.faults.house import COLOURS, House, prediction
from worker.demo.environment import WorkerProcess
from worker.settings.tree import Settings
from worker.spool import Ledger, Spool
from worker.wiring import admitter_of

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = 4000
PROJECTS = 3
PAUSE = 0.15
SETTINGS = {
    "WORKER_KILI__TIMEOUT_SECONDS": "2",
    "WORKER_DELIVERY__LINGER_SECONDS": "0.1",
    "WORKER_LOG__LEVEL": "WARNING",
}
ACTIONS: list[dict[str, Any]] = [
    {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"kind": "status", "status": 429},
    {"kind": "status", "status": 401},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 502, "after": True},
    {
        "kind": "status",
        "status": 503,
        "body": "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
    },
    {"kind": "status", "status": 503, "body": "no healthy upstream"},
    {"kind": "status", "status": 504, "after": True},
    {"kind": "status", "status": 521},
    {"kind": "html", "status": 200},
    {"kind": "html", "status": 502},
    {"kind": "errors", "status": 500, "code": "INTERNAL_SERVER_ERROR", "message": "Internal server error"},
    {"kind": "reset"},
    {"kind": "lost"},
    {"kind": "cut"},
    {"kind": "truncated"},
    {"kind": "partial"},
    {"kind": "delay", "seconds": 0.6},
    {"kind": "delay", "seconds": 3},
    {"kind": "too_large", "bytes": 20_000},
]
OPERATIONS = ["*", "filterExistingAssets", "assets", "appendManyAssets", "appendManyLabels", "updatePropertiesInAssets"]
WRONG = [
    b"",
    b"{",
    b'{"external_id": 3}',
    b'{"external_id": "x", "surprise": 1}',
    b'{"output": {"scores": {"A": NaN}}}',
    b"[]",
    b"\xff\xfe",
]
NO_ENVELOPES = [b"", b"no envelope", b'{"body": "%%%", "properties": {"body_encoding": "base64"}}']


class Soak:
    """One run; ``counts`` says how often each thing was done."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._dice = random.Random(seed)
        self._moment = 0
        self._recent: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self._projects = [house.project() for _ in range(PROJECTS)]

    def run(self, seconds: float, most: int | None = None) -> None:
        """Do harm and publish until the time is over or so many deeds are done."""
        deeds: list[tuple[int, Callable[[], None]]] = [
            (60, self._publish),
            (3, self._publish_garbage),
            (10, self._harm_kili),
            (6, self._heal_kili),
            (3, self._kill_worker),
            (2, self._stop_worker),
            (3, self._switch_kili),
            (2, self._pause_kili),
            (1, self._kill_redis),
            (1, self._pause_redis),
            (2, self._cut_connections),
            (1, self._flush_scripts),
            (2, self._fill_redis),
            (1, self._destroy_group),
        ]
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end and done != most:
            (deed,) = self._dice.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            deed()
            self.counts[deed.__name__.strip("_")] += 1
            done += 1
            time.sleep(PAUSE)

    def settle(self) -> dict[str, Any]:
        """Stop all harm, let everything settle, replay what the harm buried, and judge."""
        house = self._house
        self._await_redis()
        house.heal()
        house.admin("config", {"resent_id": "upsert", "batches": "atomic", "read_lag": 0})
        house.await_settled(limit=3 * PATIENCE)
        buried = [letter.id for letter in house.letters.letters() if letter.about["stage"] != "intake"]
        self.counts["buried_by_harm"] = len(buried)
        for letter_id in buried:
            self._replay(letter_id)
        house.await_settled(limit=3 * PATIENCE)
        state = house.judge()
        assert all(worker.process.poll() is None for worker in house.workers), "a worker ended by itself"
        ledger = house.ledger()
        return {
            "published": house.published.count,
            "assets": state["assets"],
            "labels": state["labels"],
            "duplicate_assets": state["duplicate_external_ids"],
            "duplicate_labels": state["duplicate_inference_labels"],
            "delivered": ledger.delivered,
            "superseded": ledger.superseded,
            "dead": ledger.dead,
            **self.counts,
        }

    def _publish(self) -> None:
        count = self._dice.choice([1, 5, 30, 120])
        messages: list[dict[str, Any] | bytes] = [self._message() for _ in range(count)]
        if self._dice.random() < 0.3:
            messages.append(self._dice.choice(WRONG))
        if self._recent and self._dice.random() < 0.5:
            messages += self._dice.choices(self._recent, k=3)
        self._recent = [one for one in messages if isinstance(one, dict)][-50:]
        door = self._dice.choice(["stream", "stream", "celery"])
        self._house.publish(messages, door=door, together=self._dice.choice([1, 20]))
        self.counts["messages"] += len(messages)

    def _publish_garbage(self) -> None:
        self._house.client.lpush("predictions", self._dice.choice(NO_ENVELOPES))
        self._house.published.count += 1
        self._house.condemn(1)

    def _message(self) -> dict[str, Any]:
        self._moment += 1
        late = self._dice.randrange(1, 500) if self._dice.random() < 0.1 else 0
        predicted_at = BEGIN + timedelta(microseconds=2 * (self._moment - late) + bool(late))
        return prediction(
            self._dice.choice(self._projects),
            f"é {self._dice.randrange(NAMES)}/x.jpg",
            answer=self._dice.choice(COLOURS),
            score=self._dice.choice([0.55, 0.7, 0.95]),
            model={"name": "m", "version": self._dice.choice("12")},
            predicted_at=predicted_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )

    def _harm_kili(self) -> None:
        rule: dict[str, Any] = {"operation": self._dice.choice(OPERATIONS), "action": self._dice.choice(ACTIONS)}
        if self._dice.random() < 0.5:
            rule |= {"chance": 0.3, "seed": self._dice.randrange(1000), "times": 40}
        else:
            rule["times"] = self._dice.choice([1, 2, 5])
        self._house.harm(rule)

    def _heal_kili(self) -> None:
        self._house.heal()

    def _switch_kili(self) -> None:
        switches = {
            "resent_id": self._dice.choice(["upsert", "refuse"]),
            "batches": self._dice.choice(["atomic", "partial"]),
            "read_lag": self._dice.choice([0, 0, 0.25]),
        }
        self._house.admin("config", switches)

    def _kill_worker(self) -> None:
        self._one_worker().kill()
        self._house.worker()

    def _stop_worker(self) -> None:
        assert self._one_worker().stop() == 0
        self._house.worker()

    def _one_worker(self) -> WorkerProcess:
        worker = self._house.workers.pop(self._dice.randrange(len(self._house.workers)))
        assert worker.process.poll() is None, f"a worker ended by itself:\n{worker.tail()}"
        return worker

    def _pause_kili(self) -> None:
        self._signal(self._house.kili.pid, self._dice.choice([0.3, 1.0, 2.5]))

    def _pause_redis(self) -> None:
        self._signal(self._house.redis.pid, self._dice.choice([0.3, 1.0, 2.5]))

    def _signal(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def _kill_redis(self) -> None:
        self._house.kill_redis()
        time.sleep(self._dice.choice([0.1, 1.0]))
        self._house.redis.restart()
        self._await_redis()

    def _cut_connections(self) -> None:
        self._house.troubles.expect("wave_ended")
        self._house.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def _flush_scripts(self) -> None:
        self._house.client.script_flush()

    def _fill_redis(self) -> None:
        self._house.client.config_set("maxmemory", 1)
        time.sleep(self._dice.choice([0.5, 2.0]))
        self._house.client.config_set("maxmemory", 0)

    def _destroy_group(self) -> None:
        self._house.client.xgroup_destroy("predictions:inbox", "intake")

    def _replay(self, letter_id: str) -> None:
        letter = self._house.letters.get(letter_id)
        assert letter is not None
        admitter_of(Settings(), self._house.spool).replay(letter)

    def _await_redis(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(redis.RedisError):
                return bool(self._house.client.ping())
            return False

        awaited(answers, "Redis is back")


class Sampler:
    """Reads the conservation sum from a thread of its own, whenever Redis answers."""

    def __init__(self, house: House) -> None:
        client = redis.Redis.from_url(house.redis.url, socket_timeout=1)
        self._spool = Spool(client, prefix="pw:", lease_ms=1500, remember_ms=60_000)
        self._over = threading.Event()
        self.samples = 0
        self.off: list[Ledger] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End, and tell how often the sum was read; it must have held each time."""
        self._over.set()
        self._thread.join()
        assert self.off == [], f"conservation was off {len(self.off)} times, first {self.off[0]}"
        return self.samples

    def _run(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(redis.RedisError):
                ledger = self._spool.ledger()
                self.samples += 1
                if ledger.conservation_error != 0:
                    self.off.append(ledger)


def soak(seconds: float, seed: int, workers: int = 2, deeds: int | None = None) -> dict[str, Any]:
    """Run for so many seconds, or deeds, and judge; the counts of what was done and what came of it."""
    with House(SETTINGS) as house:
        for _ in range(workers):
            house.worker()
        run, sampler = Soak(house, seed), Sampler(house)
        run.run(seconds, deeds)
        result = run.settle()
        return {"seed": seed, "seconds": seconds, "workers": workers, "samples": sampler.stop(), **result}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"soak: seed {options.seed}, {options.seconds:g} s, {options.workers} workers", flush=True)
    print(json.dumps(soak(options.seconds, options.seed, options.workers), indent=2))


if __name__ == "__main__":
    main()
