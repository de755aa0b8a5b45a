"""What spans are made of what happens, and how they are sampled and written."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, ParentBased, Sampler
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from worker.kili import CallRecord
from worker.review import ReviewDecision
from worker.settings.tree import Settings
from worker.spool import Admission, Arrival, Dead, Leased, Outcome, Settlement, Waiting
from worker.spool.dead_letters import trace_in, with_trace
from worker.tracing import NO_TRACES, Evaluation, Tracer, is_sampled
from worker.tracing.encoding import Written, request_of
from worker.tracing.open_telemetry import SCOPE, OpenTelemetry, open_telemetry
from worker.wiring import tracer_of

TRACE, PRODUCER = "4b" * 16, "f0" * 8
CONTEXT = f"00-{TRACE}-{PRODUCER}-01"
STATED = f"{CONTEXT} congo=t61rcWkgMzE,rojo=00f067"
UNSAMPLED = f"00-{TRACE}-{PRODUCER}-00"
RESOURCE = Resource({"service.name": "test"})
ABOUT = ReadableSpan("", INVALID_SPAN_CONTEXT, resource=RESOURCE, instrumentation_scope=SCOPE)
ADMITTED = Admission(1, 0, 0, 0)


class Kept:
    """A processor that keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.given: list[Any] = []

    def on_end(self, span: Any) -> None:
        self.spans += read_back(span) if isinstance(span, Written) else [span]
        self.given.append(span)

    def shutdown(self) -> None:
        pass


def read_back(packet: Written) -> list[ReadableSpan]:
    """Spans that were written, as OpenTelemetry's own."""
    request = ExportTraceServiceRequest.FromString(request_of([packet], ABOUT))
    return [_own(found) for found in request.resource_spans[0].scope_spans[0].spans]


def _own(found: Span) -> ReadableSpan:
    state = TraceState.from_header([found.trace_state]) if found.trace_state else None

    def context(trace: bytes, own: bytes, *, remote: bool) -> SpanContext:
        ids = int.from_bytes(trace), int.from_bytes(own)
        return SpanContext(*ids, remote, TraceFlags(1), state)

    return ReadableSpan(
        found.name,
        context(found.trace_id, found.span_id, remote=False),
        context(found.trace_id, found.parent_span_id, remote=bool(found.flags & 0x200))
        if found.parent_span_id
        else None,
        resource=RESOURCE,
        instrumentation_scope=SCOPE,
        attributes={one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found.attributes},
        links=[
            Link(
                SpanContext(
                    int.from_bytes(one.trace_id), int.from_bytes(one.span_id), bool(one.flags & 0x200), TraceFlags(1)
                )
            )
            for one in found.links
        ],
        kind=SpanKind(found.kind - 1),
        status=Status(StatusCode(found.status.code)),
        start_time=found.start_time_unix_nano,
        end_time=found.end_time_unix_nano,
    )


def tracer(sampler: Sampler = DEFAULT_ON) -> tuple[OpenTelemetry, list[ReadableSpan]]:
    kept = Kept()
    return OpenTelemetry(kept, sampler, RESOURCE), kept.spans  # type: ignore[arg-type]


def decision(trace: str) -> bytes:
    return ReviewDecision(3, 1, "doubt", "test").to_bytes((), "kafka", trace)


def waiting(trace: str) -> Waiting:
    return Waiting("p", 3, "asset", "m:1", 1, "ab", b"{}", decision(trace))


def leased(trace: str, entry_id: str = "1000-0") -> Leased:
    return Leased(3, entry_id, 2, "asset", "m:1", 1, "ab", b"{}", decision(trace), leased_ms=1000)


def record(outcome: str = "ok", attempt: int = 1, status: int | None = 200) -> CallRecord:
    return CallRecord("appendManyLabels", 2, 0.5, status, outcome, attempt, 100, 0.0, "p")


def test_the_context_stands_beside_the_decision_and_is_read_from_nothing_else() -> None:
    assert ReviewDecision.trace_in(decision(STATED)) == STATED
    assert ReviewDecision.trace_in(decision("")) == ""
    assert decision("") == ReviewDecision(3, 1, "doubt", "test").to_bytes((), "kafka")
    assert ReviewDecision.from_bytes(decision(STATED)) == ReviewDecision.from_bytes(decision(""))
    deceiving = ReviewDecision(3, 1, f',"trace":"{CONTEXT}"', "test").to_bytes()
    assert ReviewDecision.trace_in(deceiving) == ""


def test_a_letter_keeps_the_context() -> None:
    letter = b'{"cause": "x"}'
    assert with_trace(letter, "") is letter
    assert trace_in(with_trace(letter, STATED)) == STATED
    assert trace_in(letter) == ""


def test_a_message_with_a_context_keeps_it_and_its_admission_is_told_on_its_trace() -> None:
    found, spans = tracer()
    own = f'{{"traceparent": "{CONTEXT}"}}'.encode()
    other = CONTEXT.replace("4b", "5c")
    assert found.received(own, other) == CONTEXT
    assert found.received(b"{}", other) == other
    found.admitted([Arrival("1000-0", (waiting(STATED),), source="kafka")], ADMITTED)
    (span,) = spans
    assert span.parent is not None
    assert span.context is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == f"{TRACE}-{PRODUCER}"
    assert span.context.trace_state.to_header() == "congo=t61rcWkgMzE,rojo=00f067"
    assert span.start_time == 1_000_000_000
    assert dict(span.attributes or {}) == {
        "kili.project.id": "p",
        "prediction.source": "kafka",
        "prediction.model": "m:1",
        "prediction.lane": 3,
    }


def test_a_message_without_a_context_begins_a_trace_with_its_admission() -> None:
    found, spans = tracer()
    context = found.received(b"{}", "")
    assert is_sampled(context)
    found.admitted([Arrival("1000-0", (waiting(context), waiting(CONTEXT)))], ADMITTED)
    root, child = spans
    assert root.parent is None
    assert root.context is not None
    assert context == f"00-{root.context.trace_id:032x}-{root.context.span_id:016x}-01"
    assert child.parent is not None


def test_many_spans_wait_in_packets_and_each_keeps_its_own_ids() -> None:
    kept = Kept()
    found = OpenTelemetry(kept, DEFAULT_ON, RESOURCE)  # type: ignore[arg-type]
    contexts = [f"00-{number:032x}-{PRODUCER}-01" for number in range(1, 41)]
    found.admitted([Arrival(f"{1000 + n}-0", (waiting(one),)) for n, one in enumerate(contexts)], ADMITTED)
    assert [len(read_back(packet)) for packet in kept.given] == [16, 16, 8]
    ids = [span.context.trace_id for span in kept.spans if span.context is not None]
    assert ids == list(range(1, 41))
    assert len({span.context.span_id for span in kept.spans if span.context is not None}) == 40
    assert [span.start_time for span in kept.spans] == [(1000 + n) * 1_000_000 for n in range(40)]


def test_what_another_worker_admitted_is_its_own_to_tell() -> None:
    found, spans = tracer()
    found.admitted([Arrival("1000-0", (waiting(CONTEXT),))], Admission(0, 0, 0, 1))
    assert spans == []


def test_a_message_that_dies_at_the_door_is_told_with_its_cause() -> None:
    found, spans = tracer()
    letter = with_trace(b'{"problem": "words of the payload"}', CONTEXT)
    found.admitted([Arrival("1-0", (Dead("p", "invalid_message", letter, b"original"),))], Admission(0, 0, 1, 0))
    (span,) = spans
    assert (span.attributes or {})["error.type"] == "invalid_message"
    assert not span.status.is_ok
    assert "words" not in span.to_json()
    assert "original" not in span.to_json()


@pytest.mark.parametrize(
    ("sampler", "named", "context", "expected"),
    [
        (DEFAULT_ON, "", CONTEXT, True),
        (DEFAULT_ON, "", UNSAMPLED, False),
        (ParentBased(ALWAYS_OFF), "parentbased_always_off", CONTEXT, True),
        (ParentBased(ALWAYS_OFF), "parentbased_always_off", "", False),
        (ALWAYS_OFF, "always_off", CONTEXT, False),
        (ALWAYS_ON, "always_on", UNSAMPLED, True),
        (ALWAYS_ON, "always_on", "", True),
    ],
)
def test_sampling_is_decided_once(
    sampler: Sampler, named: str, context: str, *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", named)
    found, spans = tracer(sampler)
    kept = found.received(b"{}", context)
    assert is_sampled(kept) is expected
    assert kept[:52] == context[:52] or not context
    found.admitted([Arrival("1-0", (waiting(kept),))], ADMITTED)
    with found.batch("p", [leased(kept)], "deliver"):
        found.called(record())
        found.settled("p", [Settlement(leased(kept), Outcome.DELIVERED)])
    found.evaluated(Evaluation(kept, "p", "m:1", "label", "DEFAULT", 5.0, 1.0))
    assert len(spans) == (5 if expected else 0)


def test_a_batch_belongs_to_its_first_prediction_and_is_linked_with_all_others() -> None:
    found, spans = tracer()
    second, third = CONTEXT.replace("4b", "5c"), UNSAMPLED.replace("4b", "6d")
    with pytest.raises(OSError), found.batch("p", [leased(CONTEXT), leased(second), leased(third)], "deliver"):  # noqa: PT012
        found.called(record("ServerFault", status=503))
        found.called(record(attempt=2))
        found.settled("p", [Settlement(leased(second), Outcome.DELIVERED)])
        raise OSError("with words of the payload")
    failed, ok, settled, batch = spans
    assert batch.context is not None
    assert batch.parent is not None
    assert f"{batch.parent.trace_id:032x}" == TRACE
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == ["5c" * 16]
    assert dict(batch.attributes or {}) == {
        "kili.project.id": "p",
        "prediction.batch.traced": 2,
        "error.type": "OSError",
    }
    assert "words" not in batch.to_json()
    assert [span.parent for span in (failed, ok)] == [batch.context] * 2
    assert (failed.attributes or {})["error.type"] == "ServerFault"
    assert (ok.attributes or {})["http.request.resend_count"] == 1
    assert ok.end_time is not None
    assert ok.start_time is not None
    assert ok.end_time - ok.start_time == 500_000_000
    assert [link.context for link in settled.links] == [batch.context]
    found.called(record())
    assert len(spans) == 4, "a call that belongs to no batch is not told of"


def test_fates_are_told_but_for_what_waits_again_at_once() -> None:
    found, spans = tracer()
    outcomes = [Outcome.DELIVERED, Outcome.DEAD, Outcome.LATER, Outcome.RETURNED, Outcome.SUPERSEDED]
    found.settled(
        "p", [Settlement(leased(CONTEXT), outcome, "why" if outcome is Outcome.DEAD else "") for outcome in outcomes]
    )
    told = [(span.attributes or {})["prediction.outcome"] for span in spans]
    assert told == ["delivered", "dead", "later", "superseded"]
    assert [span.status.is_ok for span in spans] == [True, False, True, True]
    assert (spans[1].attributes or {})["error.type"] == "why"


def test_a_verdict_is_the_same_span_whenever_it_is_told() -> None:
    found, spans = tracer()
    verdict = Evaluation(CONTEXT, "p", "m:1", "label", "REVIEW", 5.0, 0.25)
    for one in (verdict, verdict, replace(verdict, label_id="other")):
        found.evaluated(one)
    first, again, other = (span.context for span in spans)
    assert first == again != other
    (event,) = spans[0].events
    assert event.name == "gen_ai.evaluation.result"
    assert dict(event.attributes or {}) == {
        "gen_ai.evaluation.name": "human_agreement",
        "gen_ai.evaluation.score.value": 0.25,
        "gen_ai.evaluation.score.label": "incorrect",
    }


def test_spans_are_written_as_the_general_encoder_writes_them() -> None:
    kept = Kept()
    found, spans = OpenTelemetry(kept, DEFAULT_ON, RESOURCE), kept.spans  # type: ignore[arg-type]
    found.admitted([Arrival("1000-0", (waiting(found.received(b"{}", "")), waiting(STATED)))], ADMITTED)
    with found.batch("p", [leased(STATED), leased(CONTEXT)], "deliver"):
        found.called(record("TimedOut", attempt=3, status=None))
        found.settled("π" * 200, [Settlement(leased(STATED), Outcome.DEAD, "x" * 300)])
    found.evaluated(Evaluation(STATED, "p", "m:1", "label", "DEFAULT", 5.0, 1 / 3))
    assert len(spans) == 6
    assert ExportTraceServiceRequest.FromString(request_of(kept.given, ABOUT)) == encode_spans(spans)


def test_nothing_is_imported_and_nothing_kept_without_traces() -> None:
    names = "worker.runtime", "worker.cli.serving", "worker.app", "worker.sources", "worker.cli.undelivered"
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "worker.tracing" in imported
    # redis-py imports the metrics of OpenTelemetry by itself where they are installed
    ours = {"worker.tracing.open_telemetry", "opentelemetry.sdk.trace", "opentelemetry.exporter"}
    assert imported.isdisjoint(ours)
    assert NO_TRACES.carried({b"traceparent": CONTEXT.encode()}) == ""
    assert NO_TRACES.received(f'{{"traceparent": "{CONTEXT}"}}'.encode(), "") == ""
    assert NO_TRACES.received(b"{}", CONTEXT) == CONTEXT, "of a letter that is replayed without traces"
    assert tracer_of(Settings()) is NO_TRACES


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")])
def test_opentelemetrys_own_variables_switch_it_off(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert tracer_of(Settings(traces={"enabled": True})) is NO_TRACES  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "console"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_what_is_not_here_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        open_telemetry()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "worker.tracing.open_telemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ValueError, match=r"kili-prediction-worker\[otel\]"):
        tracer_of(Settings(traces={"enabled": True}))  # type: ignore[arg-type]


def test_the_port_is_the_same_for_both() -> None:
    names = {name for name in vars(Tracer) if not name.startswith("_")}
    assert names <= set(dir(NO_TRACES)) & set(dir(OpenTelemetry))


def test_a_receiver_that_does_not_answer_keeps_nobody_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(f"{open_telemetry.__module__}.CLOSE_SECONDS", 0.2)
        found: Any = open_telemetry()
        found.evaluated(Evaluation(CONTEXT, "p", "m:1", "label", "DEFAULT", 5.0, 1.0))
        found.close()
        alive = {thread.name for thread in threading.enumerate()}
    assert "traces-end" in alive, "it went on without waiting for the end"


def test_the_environment_describes_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,team=vision")
    found: Any = open_telemetry()
    try:
        about = found._about["resource"].attributes
        assert (about["service.name"], about["team"]) == ("mine", "vision")
    finally:
        found.close()
