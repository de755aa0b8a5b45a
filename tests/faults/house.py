"""A whole installation of real processes, and the judge who asks at the end what became of every message.

A case publishes messages, does harm, waits until nothing moves any more, and calls ``judge``: what exists in Kili, what
the worker's ledger says, and what was published must agree. Cases may share a house: each takes projects of its own,
and the judge then judges everything that was ever published in the house.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import redis
from celery import Celery

from tests.awaiting import PATIENCE, kill_once_written, pause_after
from tests.faults.front import Front
from tests.faults.troubles import Troubles
from tests.nursery import spawn
from worker.delivery import CircuitBreaker, Pause
from worker.demo.environment import WorkerProcess
from worker.environment.embedded_redis import EmbeddedRedis
from worker.kili import derived_asset_id
from worker.kili.budget import CallCounter
from worker.monitoring.status import collect
from worker.sandbox.process import SandboxProcess
from worker.settings.tree import Settings
from worker.spool import Ledger, Spool
from worker.spool.dead_letters import DeadLetter, DeadLetters
from worker.wiring import admitter_of

COLOURS = ("RED", "BLACK", "GREY", "WHITE")
INTERFACE = {
    "jobs": {
        "COLOUR": {
            "content": {
                "categories": {name: {"children": [], "name": name.title()} for name in COLOURS},
                "input": "radio",
            },
            "instruction": "Which colour?",
            "mlTask": "CLASSIFICATION",
            "required": 1,
            "isChild": False,
        }
    }
}
FAST = {
    "WORKER_KILI__CALLS_PER_MINUTE": "60000",
    "WORKER_KILI__BURST": "50",
    "WORKER_KILI__BACKOFF_SECONDS": "0.05",
    "WORKER_KILI__BACKOFF_CAP_SECONDS": "0.4",
    "WORKER_KILI__TIMEOUT_SECONDS": "60",  # a Kili that has to wait for its turn on this machine is not away
    "WORKER_KILI__RETRY_AFTER_CAP_SECONDS": "2",
    "WORKER_KILI__READ_LAG_SECONDS": "0.3",
    "WORKER_INTAKE__RECOVER_SECONDS": "1",
    "WORKER_SPOOL__LEASE_SECONDS": "1.5",
    "WORKER_SPOOL__LATE_WRITE_SECONDS": "2",
    "WORKER_DELIVERY__LINGER_SECONDS": "0.2",
    "WORKER_DELIVERY__PROBE_SECONDS": "0.2",
    "WORKER_DELIVERY__PROBE_CAP_SECONDS": "1",
    "WORKER_DELIVERY__MISSING_ASSET_GRACE_SECONDS": "1",
    "WORKER_DELIVERY__DRAIN_SECONDS": "30",
    "WORKER_REVIEW__THRESHOLD": "0.8",  # decides alone on each prediction: the cases know every priority
}
COUNTED = {"WORKER_SPOOL__LEASE_SECONDS": "60", "WORKER_INTAKE__BATCH": "2000"}
"""Of a house whose calls are counted: no lock ends because the worker had to wait, which would send a batch twice.

A burst is admitted at once: it is no backlog where one look takes more than all of it."""

SWITCHES = {
    "resent_id": "upsert",
    "batches": "atomic",
    "mutations": "many",
    "read_lag": 0,
    "calls_per_minute": 0,
    "latency": 0,
}
ONE_DOCUMENT = "WORKER_DELIVERY__ONE_DOCUMENT"
"""Set in the environment of the tests, it is on in every house."""


@dataclass(slots=True)
class Published:
    """What was sent, and what should come of it: the newest answer per (project, external id, model).

    ``contents`` are the links sent for each asset, by the id that the worker derives for it.
    """

    count: int = 0
    wrong: int = 0
    expected: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)
    contents: dict[str, set[str]] = field(default_factory=dict)

    def note(self, message: Mapping[str, Any]) -> None:
        """Remember a valid message."""
        model = f"{message['model']['name']}:{message['model']['version']}"
        key = (message["project_id"], message["external_id"], model)
        url = message.get("asset", {}).get("url")
        if url is not None:
            self.contents.setdefault(derived_asset_id(key[0], key[1]), set()).add(url)
        scores = message["output"].get("scores")
        answer = max(scores, key=lambda name: scores[name]) if scores else answer_of(message["output"]["json_response"])
        newest = (message["predicted_at"], answer)
        if key not in self.expected or newest > self.expected[key]:
            self.expected[key] = newest


class House:
    """Redis, the local Kili and workers, each in a process of its own.

    Args:
        settings: environment of the workers, on top of settings that make failures quick.
        has_front: put a front before the local Kili that can be shut.
        binary: of the Redis server.
        sandbox: options of the local Kili.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        has_front: bool = False,
        binary: Path | None = None,
        **sandbox: Any,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="house-"))
        self.redis = EmbeddedRedis(binary=binary)
        self.kili = SandboxProcess(spawn=spawn, **sandbox)
        self.front = Front(self.kili.endpoint) if has_front else None
        self.client = redis.Redis.from_url(self.redis.url)
        self.spool = Spool(self.client, prefix="pw:", lease_ms=1500, remember_ms=60_000)
        self.letters = DeadLetters(self.client, "pw:")
        self.counter = CallCounter(self.client, "pw:")
        self.published = Published()
        self.workers: list[WorkerProcess] = []
        self.troubles = Troubles(self.folder)
        self._http = httpx.Client(timeout=PATIENCE)
        self._named = 0
        self._calls_before_reset = 0
        self._calls_of_others = 0
        self._buried_before: frozenset[str] = frozenset()
        self.is_sound = True
        self.environment = {
            ONE_DOCUMENT: os.environ.get(ONE_DOCUMENT, "false"),
            "REDIS_URL": self.redis.url,
            "KILI_API_KEY": self.kili.api_key,
            "KILI_API_ENDPOINT": self.front.endpoint if self.front else self.kili.endpoint,
            **FAST,
            **(settings or {}),
        }

    @property
    def has_one_document(self) -> bool:
        """Whether the workers send a batch's mutations in one document."""
        return self.environment[ONE_DOCUMENT] == "true"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unexplained = self.troubles.unexplained()
        self.close(show_logs=error is not None)
        assert error is not None or unexplained == [], unexplained

    def close(self, *, show_logs: bool = False) -> None:
        """End every process and remove the logs."""
        for worker in self.workers:
            worker.kill()
            if show_logs:
                print(f"--- {worker.log.name}\n{worker.tail(6000)}")
        if self.front is not None:
            self.front.close()
        self.kili.stop()
        self._http.close()
        self.client.close()
        self.redis.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def begin_case(self) -> Self:
        """Undo what earlier cases switched; until the judge has spoken, the house is not sound."""
        self.heal()
        self.switch(**SWITCHES)
        self.client.delete("pw:one-document-refused")
        self.forget_calls()
        self._buried_before = frozenset(self.letters.ids())
        self.troubles.begin()
        self.is_sound = False
        return self

    def worker(self, *, wait: bool = True, output: int | None = None, **settings: str) -> WorkerProcess:
        """Start a worker, and wait until it is ready; ``output`` takes what it writes instead of its log."""
        self._named += 1
        environment = {**self.environment, **settings}
        worker = WorkerProcess(environment, self.folder, f"worker-{self._named}", output=output, spawn=spawn)
        self.workers.append(worker)
        return worker.wait_ready() if wait else worker

    def staffed(self) -> WorkerProcess:
        """The one worker that runs: those that earlier cases added end, and one is started only when there is none."""
        running = [worker for worker in self.workers if worker.process.poll() is None]
        for added in running[:-1]:
            added.kill()
        return running[-1].wait_ready() if running else self.worker()

    def rest(self, *, is_resting: bool) -> None:
        """Hold the workers, or let them go on: also one that has nothing to do takes processor time."""
        for worker in self.workers:
            worker.process.send_signal(signal.SIGSTOP if is_resting else signal.SIGCONT)

    def project(self, interface: Mapping[str, Any] = INTERFACE, input_type: str = "IMAGE") -> str:
        """Create a project in Kili."""
        data = {"title": "faults", "inputType": input_type, "jsonInterface": json.dumps(interface)}
        text = "mutation ($data: CreateProjectData!) { data: createProject(data: $data) { id } }"
        return str(self.graphql(text, {"data": data})["id"])

    def graphql(self, query: str, variables: Mapping[str, Any]) -> Any:
        """One call to Kili, outside of the worker."""
        self._calls_of_others += 1
        headers = {"Authorization": f"X-API-Key: {self.kili.api_key}"}
        answer = self._http.post(self.kili.endpoint, json={"query": query, "variables": variables}, headers=headers)
        body = answer.json()
        assert "errors" not in body, body
        return body["data"]["data"]

    def admin(self, path: str, content: Any = None, method: str = "") -> Any:
        """The sandbox's admin surface."""
        method = method or ("GET" if content is None else "POST")
        answer = self._http.request(method, f"{self.kili.admin_url}/{path}", json=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def harm(self, *rules: Mapping[str, Any]) -> None:
        """Add fault rules to the local Kili."""
        self.admin("faults", list(rules))

    def heal(self) -> None:
        """Drop every fault rule."""
        self.admin("faults", method="DELETE")

    def switch(self, **switches: Any) -> None:
        """Set switches of the local Kili."""
        self.admin("config", switches)

    def struck(self) -> list[int]:
        """How often each fault rule was applied, from the moment a call meets it."""
        return [rule["applied"] for rule in self.admin("faults")]

    def outcomes(self) -> Counter[str]:
        """The workers' own count of their calls by outcome, as far as they have kept it: it may come a little later."""
        counts: Counter[str] = Counter()
        for one in self.counter.counts():
            counts[one.outcome] += one.calls
        return counts

    def await_outcome(self, outcome: str, seen: Counter[str], count: int) -> None:
        """Wait until the workers have counted so many more calls that ended so, and no more than that."""
        self.await_that(lambda: self.outcomes()[outcome] - seen[outcome] >= count, f"{count} calls: {outcome}")
        assert self.outcomes()[outcome] - seen[outcome] == count

    def kill_redis(self) -> None:
        """Kill Redis by SIGKILL; what it has acknowledged until now is there when it is restarted.

        A wave may be under way, also when all has settled: it gives its project back after that.
        """
        self.troubles.expect("wave_ended")
        kill_once_written(self.redis, self.client)

    def pauses(self) -> dict[str, Pause]:
        """What is paused, by scope."""
        return {pause.scope: pause for pause in CircuitBreaker(self.client, "pw:", first=0, cap=0).all()}

    def status(self) -> dict[str, Any]:
        """What ``prediction-worker status`` gathers."""
        return collect(Settings(redis_url=self.redis.url, kili_api_key=self.kili.api_key))  # type: ignore[arg-type]

    def status_of_calls(self) -> dict[str, Any]:
        """The status once every call that Kili has counted is in it: a worker keeps its counts once in a while."""
        calls = self._calls_before_reset + self.calls_made() - self._calls_of_others
        found: dict[str, Any] = {}

        def all_counted() -> bool:
            found.update(self.status())
            return sum(int(call["calls"]) for call in found["calls"]) >= calls

        self.await_that(all_counted, f"{calls} calls counted")
        return found

    def calls_made(self, *, good_ones: bool = False) -> int:
        """Calls since the last reset, as Kili counted them: all, or those without an error."""
        return sum(call["count"] - good_ones * call["errors"] for call in self.calls().values())

    def forget_calls(self) -> None:
        """Let Kili count from zero."""
        self._calls_before_reset += self.calls_made()
        self.admin("reset", {})

    def calls(self) -> dict[str, Any]:
        """Calls by operation, as Kili counted them."""
        operations: dict[str, Any] = self.admin("calls")["operations"]
        return operations

    def calls_with(self, operation: str) -> int:
        """Calls that carried an operation, alone or among others."""
        return sum(call["count"] for name, call in self.calls().items() if operation in name.split("+"))

    def publish(
        self, messages: Iterable[Mapping[str, Any] | bytes], *, door: str = "stream", together: int = 1
    ) -> None:
        """Send messages through a door; bytes are sent as they are and count as wrong.

        What is sent to the stream is there at once, a thousand at a time. ``together`` messages share one Celery
        message.
        """
        found = list(messages)
        for message in found:
            self.published.count += 1
            if isinstance(message, bytes):
                self.published.wrong += 1
            else:
                self.published.note(message)
        payloads = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in found]
        if door == "stream":
            self._add(payloads)
            return
        with Celery(broker=self.redis.url) as app:
            for start in range(0, len(payloads), together):
                group = [_argument(payload) for payload in payloads[start : start + together]]
                app.send_task("predictions.ingest", [group if together > 1 else group[0]], queue="predictions")

    def _add(self, payloads: Sequence[bytes]) -> None:
        for start in range(0, len(payloads), 1000):
            with self.client.pipeline(transaction=True) as pipe:
                for payload in payloads[start : start + 1000]:
                    pipe.xadd("predictions:inbox", {"payload": payload})
                pipe.execute()

    def ledger(self) -> Ledger:
        """The worker's ledger; the conservation sum must hold whenever it is read."""
        ledger = self.spool.ledger()
        assert ledger.conservation_error == 0, f"conservation is off: {ledger}"
        return ledger

    def await_that(self, condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
        """Wait for a condition, checking the conservation sum all the while."""
        begun = time.monotonic()
        while not condition():
            ledger, waited = self.ledger(), time.monotonic() - begun
            assert waited < limit, f"not within {limit:g} s: {what}; {ledger}; {self.letters.causes()}"
            time.sleep(pause_after(waited))

    def await_settled(self, limit: float = PATIENCE) -> None:
        """Wait until every published message has been received and nothing waits any more."""

        def settled() -> bool:
            ledger = self.ledger()
            return ledger.received >= self.published.count and ledger.waiting + ledger.leased == 0

        self.await_that(settled, f"all of {self.published.count} settled", limit)

    def await_awake(self) -> None:
        """Wait until nothing is paused: a pause ends a little after the wave that was its probe has settled."""
        self.await_that(lambda: not self.pauses(), "the end of every pause")

    def condemn(self, count: int) -> None:
        """So many of the valid messages are to become dead letters."""
        self.published.wrong += count

    def case_letters(self, cause: str | None = None) -> list[DeadLetter]:
        """The dead letters of this case, oldest first; those of the cases before it are left out."""
        return [letter for letter in self.letters.letters(cause) if letter.id not in self._buried_before]

    def replay(self, letter_ids: Iterable[str]) -> None:
        """Replay dead letters, as ``prediction-worker dead-letters replay`` does."""
        settings = Settings(redis_url=self.redis.url, kili_api_key=self.kili.api_key)  # type: ignore[arg-type]
        admitter = admitter_of(settings, self.spool)
        for letter_id in letter_ids:
            letter = self.letters.get(letter_id)
            assert letter is not None
            admitter.replay(letter)

    def judge(self, *, dead: int | None = None, waiting: int = 0) -> dict[str, Any]:
        """Compare what was published, what the worker says and what Kili has.

        Every valid message's newest answer is the one INFERENCE label of its model on the one asset of its external
        id; ``dead`` messages (by default those published as wrong or condemned) are dead letters, with a cause each.
        Exactly ``waiting`` messages are kept for projects that Kili refuses, be it that a probe has leased them just
        now; nothing of theirs is in Kili. No worker complains of what the case has not announced by
        ``troubles.expect``.
        """
        ledger = self.ledger()
        dead = self.published.wrong if dead is None else dead
        assert ledger.received == self.published.count, ledger
        assert (ledger.waiting + ledger.leased, ledger.dead) == (waiting, dead), (ledger, self.letters.causes())
        assert self.letters.count() == dead == sum(self.letters.causes().values())
        assert self.spool.measured() == (waiting, dead)
        state = self.admin("state?full=1")
        assert state["duplicate_external_ids"] == 0, state["duplicate_external_ids"]
        assert state["duplicate_inference_labels"] == 0
        assert found_labels(state) == self.wanted()
        wrong = [item for item in state["items"] if item["content"] not in self.contents_of(item)]
        assert wrong == []
        unexplained = self.troubles.unexplained()
        assert unexplained == [], unexplained
        self.is_sound = True
        return dict(state)

    def contents_of(self, item: Mapping[str, Any]) -> set[str]:
        """The contents that an asset in Kili may have; one whose id we did not derive was created by somebody else."""
        return self.published.contents.get(item["id"], {item["content"]})

    def wanted(self) -> dict[tuple[str, str, str], str]:
        """The answer that should be in Kili per (project, external id, model).

        A message that died before its label was written is left out; one whose priority was refused has its label.
        """
        buried = Counter(
            (letter.about["project_id"], letter.about["external_id"], letter.about["model"])
            for letter in self.letters.letters()
            if letter.about["stage"] != "prioritise"
        )
        kept = {name for name in self.spool.projects() if sum(self.spool.lanes(name))}
        return {
            key: answer
            for key, (_, answer) in self.published.expected.items()
            if key not in buried and key[0] not in kept
        }


def answer_of(response: Mapping[str, Any]) -> str:
    """The colour in a response, of a video that of its first frame."""
    return str(response.get("0", response)["COLOUR"]["categories"][0]["name"])


def found_labels(state: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    """The answer of each INFERENCE label in Kili, by (project, external id, model)."""
    return {
        (item["projectId"], item["externalId"], label["modelName"]): answer_of(json.loads(label["jsonResponse"]))
        for item in state["items"]
        for label in item["labels"]
        if label["labelType"] == "INFERENCE"
    }


def prediction(project: str, name: str, *, answer: str = "RED", score: float = 0.9, **changes: Any) -> dict[str, Any]:
    """A valid message."""
    rest = COLOURS[(COLOURS.index(answer) + 1) % len(COLOURS)]
    message = {
        "project_id": project,
        "external_id": name,
        "asset": {"url": f"https://example.com/{name}"},
        "model": {"name": "m", "version": "1"},
        "output": {"scores": {answer: score, rest: round(1 - score, 4)}},
        "predicted_at": "2026-11-23T10:15:00Z",
    }
    return {key: value for key, value in {**message, **changes}.items() if value is not None}


def predictions(project: str, count: int, *, start: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Valid messages with distinct external ids, every fifth doubtful."""
    return [
        prediction(
            project, f"a/{number}.jpg", answer=COLOURS[number % 4], score=0.55 if number % 5 == 0 else 0.95, **changes
        )
        for number in range(start, start + count)
    ]


def _argument(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "replace")
