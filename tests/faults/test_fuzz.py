"""Anything at all thrown at both doors: it ends in the spool or in the dead letters, and nothing raises."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.faults.house import INTERFACE
from tests.fuzzing import examples
from worker.contract import (
    AssetContent,
    MessageError,
    ModelVersion,
    Output,
    Prediction,
    ReadingLimits,
    read_json,
    read_message,
    read_raw,
)
from worker.contract.schemas import EXAMPLE
from worker.delivery.prepare import prepare
from worker.intake import Admitter, Inbox, Rules
from worker.ontology import Interface
from worker.projects.configuration import Projects
from worker.review import ThresholdPolicy
from worker.spool import Spool
from worker.spool.dead_letters import DeadLetters

STREAM, QUEUE = "predictions:inbox", "predictions"
FUZZ = settings(
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

LIMITS = ReadingLimits(max_depth=5)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "RED", "COLOUR", "2026-11-23T10:15:00Z", "auto", "-", 10**400, -(10**30), 1e308, "\x00"])
)
PARTS = (Prediction, Output, AssetContent, ModelVersion)
WORDS = sorted({name for part in PARTS for name in part.__struct_fields__})
WORDS += ["schema", "external_ids", "assets", "categories", "predictions", "outputs", "data", "shape", "datatype"]
KEYS = st.text(max_size=8) | st.sampled_from(WORDS)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
RESPONSE = {"COLOUR": {"categories": [{"name": "RED", "confidence": 90}]}}
ROWS = {
    "model_name": "m",
    "outputs": [{"name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]}],
}
BATCH = {key: value for key, value in EXAMPLE.items() if key not in ("external_id", "asset")}
EXAMPLES: list[dict[str, Any]] = [
    EXAMPLE,
    {**EXAMPLE, "output": {"json_response": RESPONSE}},
    {**EXAMPLE, "output": {"payload": [{"label": "RED", "score": 0.9}, {"label": "BLACK", "score": 0.1}]}},
    {**BATCH, "external_ids": ["a", "b"], "output": {"payload": ROWS, "classes": ["RED", "BLACK"]}},
]
ENVELOPE: dict[str, Any] = {
    "body": base64.b64encode(json.dumps([[EXAMPLE], {}, {}]).encode()).decode(),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": {"task": "predictions.ingest", "id": "1", "expires": None, "compression": None},
    "properties": {"body_encoding": "base64", "priority": 0},
}


class Doors:
    """Both doors and what is behind them, on a real server."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.spool = Spool(client, prefix="f:", lease_ms=60_000, remember_ms=60_000)
        self.admitter = Admitter(self.spool, ThresholdPolicy(0.8), Rules(), Projects(None))
        self.inbox = Inbox(client, key=STREAM, queue=QUEUE, consumer="fuzz")
        self.letters = DeadLetters(client, "f:")
        self.interface = Interface.parse(INTERFACE, "IMAGE")

    def admit(self, *, fields: Mapping[bytes, bytes] | None = None, envelope: bytes | None = None) -> None:
        """Put one thing at an empty installation's doors, and see where it ends."""
        self.client.flushdb()
        self.inbox.open()
        if fields is not None:
            self.client.xadd(STREAM, dict(fields))
        if envelope is not None:
            self.client.lpush(QUEUE, envelope)
        entries = self.inbox.take(items=100, max_bytes=10**7)
        result = self.admitter.admit_entries(entries, inbox=STREAM)
        ledger = self.spool.ledger()
        assert len(entries) == 1
        assert self.inbox.backlog() == 0
        assert ledger.received == result.admitted + result.superseded + result.dead >= 1
        assert ledger.conservation_error == 0
        assert self.spool.measured() == (ledger.waiting, ledger.dead)
        for project in self.spool.projects():
            assert self.spool.ledger(project).conservation_error == 0
            self._prepare(project)
        assert "not_understood" not in self.letters.causes(), list(self.letters.letters())

    def _prepare(self, project: str) -> None:
        token = self.spool.acquire(project)
        assert token is not None
        entries = self.spool.lease(project, token, items=100, max_bytes=10**7, aging_ms=1000)
        found = prepare(project, entries, self.interface)
        assert len(found.items) + len(found.settled) + len(found.unfit) == len(entries)
        self.spool.settle(project, token, [*found.settled, *found.unfit])


@pytest.fixture
def doors(client: redis.Redis) -> Doors:
    return Doors(client)


@st.composite
def mutated(draw: st.DrawFn, original: Any) -> Any:
    """A valid document in which one to three places hold something else, are gone, or are new."""
    found = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        node = found
        while isinstance(node, dict) and node:
            key = draw(st.sampled_from(sorted(node)))
            if isinstance(node[key], dict) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            match draw(st.sampled_from(["other", "gone", "new"])):
                case "other":
                    node[key] = draw(VALUES)
                case "gone":
                    del node[key]
                case _:
                    node[draw(KEYS)] = draw(VALUES)
            break
    return found


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
    promise="spool or dead letters; the process lives",
)
@FUZZ
@given(payload=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_payload_at_the_stream_door(doors: Doors, payload: bytes) -> None:
    doors.admit(fields={b"payload": payload})


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
)
@FUZZ
@given(message=st.sampled_from(EXAMPLES).flatmap(mutated))
def test_almost_predictions_at_the_stream_door(doors: Doors, message: Any) -> None:
    doors.admit(fields={b"payload": json.dumps(message).encode()})


@FUZZ
@given(message=st.sampled_from(EXAMPLES).flatmap(mutated))
def test_the_short_way_of_reading_finds_what_the_long_way_finds(message: Any) -> None:
    raw = json.dumps(message).encode()
    found: list[Any] = []
    for read in (lambda: read_raw(raw, LIMITS), lambda: read_message(read_json(raw, LIMITS))):
        try:
            found.append(repr(read()))
        except MessageError as error:
            found.append((error.cause, str(error)))
    assert found[0] == found[1]


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
)
@FUZZ
@given(fields=st.dictionaries(st.binary(max_size=10), st.binary(max_size=50), min_size=1, max_size=4))
def test_any_fields_at_the_stream_door(doors: Doors, fields: dict[bytes, bytes]) -> None:
    doors.admit(fields=fields)


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
)
@FUZZ
@given(envelope=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_at_the_celery_door(doors: Doors, envelope: bytes) -> None:
    doors.admit(envelope=envelope)


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
)
@FUZZ
@given(envelope=mutated(ENVELOPE))
def test_almost_celery_messages_at_the_celery_door(doors: Doors, envelope: Any) -> None:
    doors.admit(envelope=json.dumps(envelope).encode())


@pytest.mark.guarantee(
    "Data",
    fault="arbitrary bytes and JSON from both default sources",
)
@FUZZ
@given(body=mutated({"args": [EXAMPLE], "kwargs": {}}) | VALUES, compression=st.none() | LEAVES, plain=st.booleans())
def test_any_body_in_a_celery_message(doors: Doors, body: Any, compression: Any, plain: bool) -> None:
    if isinstance(body, dict) and {"args", "kwargs"} <= set(body):
        body = [body["args"], body["kwargs"], {}]
    raw = json.dumps(body)
    headers = {**ENVELOPE["headers"], "compression": compression}
    envelope = {**ENVELOPE, "headers": headers, "body": base64.b64encode(raw.encode()).decode()}
    if plain:
        assume(raw.isascii())
        envelope |= {"body": raw, "properties": {}}
    doors.admit(envelope=json.dumps(envelope).encode())
