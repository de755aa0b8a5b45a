"""The tracer that makes OpenTelemetry's spans; imported only where traces are wanted.

Every span of a prediction has the producer's span for its parent, so that none hangs from one that was lost with a
process. A batch's span belongs to the trace of its first prediction and is linked with all others, in both directions.
Whether a prediction is sampled is decided once, when it is admitted, and kept in its context.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from random import getrandbits, randbytes
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from worker import __version__
from worker.kili import CallRecord
from worker.review import ReviewDecision
from worker.spool import Admission, Arrival, Dead, Item, Leased, Outcome, Settlement, Waiting
from worker.spool.dead_letters import trace_in
from worker.tracing import VERSION, Evaluation, Tracer, context_of_entry, is_sampled, own_context, with_flag
from worker.tracing.encoding import Exporter, Pattern, Written, attributes_of, child, links_of, root

ADMIT, SETTLE, EVALUATE = "admit prediction", "settle prediction", "evaluate prediction"
EVALUATION = "gen_ai.evaluation.result"
"""OpenTelemetry's name of the event that tells how an answer of a model was judged."""
EVALUATION_NAME = "human_agreement"

PACKET = 16
"""Spans of single predictions that wait and are sent as one."""

QUEUE, AT_ONCE = 4_096, 256
"""Packets and other spans that wait at most, and that are sent at once, unless the environment says otherwise."""

CLOSE_SECONDS = 5.0

NOTHING = nullcontext()
OK, ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
PARENT_DECIDES = ("", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio")
SCOPE = InstrumentationScope("prediction-worker", __version__)
SAMPLES_ALL = ("", "parentbased_always_on")
MS = 1_000_000

Attributes = tuple[tuple[str, str | int], ...]

ADMISSIONS = Pattern(ADMIT, SpanKind.CONSUMER, {})


class _Here(threading.local):
    """What a thread is at: contexts of traces that begin with what it admits next, and the batch that it delivers."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.batch: SpanContext | None = None


class OpenTelemetry(Tracer):
    """Makes spans and has them sent.

    Args:
        processor: takes finished spans.
        sampler: decides on traces that begin here, and on others where it does not leave it to the parent.
        resource: describes this process.
        links: most links of a span.
    """

    def __init__(self, processor: BatchSpanProcessor, sampler: Sampler, resource: Resource, links: int = 128) -> None:
        self._processor = processor
        self._sampler = sampler
        self._leaves_it_to_parent = os.environ.get("OTEL_TRACES_SAMPLER", "").strip() in PARENT_DECIDES
        self._samples_all = os.environ.get("OTEL_TRACES_SAMPLER", "").strip() in SAMPLES_ALL and sampler is DEFAULT_ON
        self._about: dict[str, Any] = {
            "resource": resource,
            "instrumentation_scope": SCOPE,
        }
        self._links = links
        self._here = _Here()

    def carried(self, fields: Mapping[bytes, bytes]) -> str:
        """The context of what carried the messages of an inbox entry."""
        return context_of_entry(fields)

    def received(self, message: bytes, carried: str) -> str:
        """The context to keep with a prediction."""
        context = own_context(message) or carried
        if context:
            return context if self._leaves_it_to_parent else with_flag(context, sampled=self._samples(context))
        ids = f"{getrandbits(192):048x}"
        sampled = self._samples_all or self._is_sampled(None, int(ids[:32], 16))
        context = f"{VERSION}-{ids[:32]}-{ids[32:]}-{sampled:02x}"
        if sampled:
            self._here.begun.add(context)
        return context

    def admitted(self, arrivals: Sequence[Arrival], result: Admission) -> None:
        """Items were admitted; of those that another worker admitted it tells itself."""
        begun, now = self._here.begun, time.time_ns()
        shared: dict[Any, bytes] = {}
        spans: list[bytes] = []
        for arrival in arrivals if not result.skipped else ():
            start = min(int(arrival.entry_id.partition("-")[0]) * MS, now) if arrival.entry_id else now
            came = start, arrival.source, arrival.replayed
            for item in arrival.items:
                text, outcome = _admitted(item)
                if not is_sampled(text):
                    continue
                is_root = text in begun
                key = came, is_root, item.project, outcome
                known = shared.get(key)
                if known is None:
                    about = _attributes(_admission(arrival, item))
                    known = ADMISSIONS.shared(start, now, about, root=is_root, failed=isinstance(item, Dead))
                    shared[key] = known
                spans.append(root(text, known) if is_root else child(text, getrandbits(64).to_bytes(8), known))
        begun.clear()
        self._send(spans)

    def batch(self, project: str, entries: Iterable[Leased], step: str) -> AbstractContextManager[None]:
        """What this thread does meanwhile is done with these predictions."""
        texts = [text for text in (ReviewDecision.trace_in(entry.decision) for entry in entries) if is_sampled(text)]
        return self._batch(project, texts, step) if texts else NOTHING

    @contextmanager
    def _batch(self, project: str, texts: Sequence[str], step: str) -> Iterator[None]:
        first, *others = texts
        parent, own, start, failed = _context(first), randbytes(8), time.time_ns(), ""
        around = self._here.batch
        self._here.batch = SpanContext(
            parent.trace_id, int.from_bytes(own), False, parent.trace_flags, parent.trace_state
        )
        try:
            yield
        except BaseException as error:
            failed = type(error).__name__
            raise
        finally:
            self._here.batch = around
            attributes = {"kili.project.id": project, "prediction.batch.traced": len(texts)}
            attributes |= {"error.type": failed} if failed else {}
            more = attributes_of(attributes) + links_of(others[: self._links])
            pattern = Pattern(f"{step} batch", SpanKind.INTERNAL, {})
            self._send([child(first, own, pattern.shared(start, time.time_ns(), more, failed=bool(failed)))])

    def called(self, record: CallRecord) -> None:
        """This thread made a call to Kili; it is told of where it was made for a batch."""
        parent = self._here.batch
        if parent is None:
            return
        end, is_ok = time.time_ns(), record.outcome == "ok"
        attributes: dict[str, Any] = {"graphql.operation.name": record.operation, "kili.call.items": record.items}
        attributes |= {"http.response.status_code": record.status} if record.status is not None else {}
        attributes |= {"http.request.resend_count": record.attempt - 1} if record.attempt > 1 else {}
        attributes |= {} if is_ok else {"error.type": record.outcome}
        start = end - int(record.seconds * 1e9)
        own, name = self._child_of(parent), f"kili {record.operation}"
        self._end(name, own, parent, start, end, attributes, kind=SpanKind.CLIENT, status=OK if is_ok else ERROR)

    def settled(self, project: str, settlements: Sequence[Settlement]) -> None:
        """The outcomes of leased entries were recorded; one that waits again at once has not come further."""
        now = time.time_ns()
        pattern = Pattern(SETTLE, SpanKind.INTERNAL, {"kili.project.id": project}, self._here.batch)
        shared: dict[Any, bytes] = {}
        spans: list[bytes] = []
        for one in settlements:
            entry, outcome = one.entry, one.outcome
            text = ReviewDecision.trace_in(entry.decision)
            if outcome is Outcome.RETURNED or not is_sampled(text):
                continue
            key = entry.leased_ms, entry.model, outcome, entry.deliveries, one.cause
            known = shared.get(key)
            if known is None:
                start = min(entry.leased_ms * MS or now, now)
                known = pattern.shared(start, now, _attributes(_settlement(one)), failed=outcome is Outcome.DEAD)
                shared[key] = known
            spans.append(child(text, getrandbits(64).to_bytes(8), known))
        self._send(spans)

    def evaluated(self, evaluation: Evaluation) -> None:
        """A human has judged a prediction: an event, on a span that has the same id whenever this is told."""
        if not is_sampled(evaluation.context):
            return
        parent = _context(evaluation.context)
        named = f"{evaluation.context[:52]} {evaluation.label_id}".encode()
        span_id = int.from_bytes(hashlib.blake2b(named, digest_size=8).digest()) or 1
        own = SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
        at = int(evaluation.at * 1e9)
        result: dict[str, Any] = {
            "gen_ai.evaluation.name": EVALUATION_NAME,
            "gen_ai.evaluation.score.value": evaluation.agreement,
            "gen_ai.evaluation.score.label": "correct" if evaluation.agreement >= 1 else "incorrect",
        }
        attributes = {
            "kili.project.id": evaluation.project,
            "prediction.model": evaluation.model,
            "kili.label.id": evaluation.label_id,
            "kili.label.type": evaluation.label_type,
        }
        self._end(EVALUATE, own, parent, at, at, attributes, events=[Event(EVALUATION, result, at)])

    def close(self) -> None:
        """Send what is left, and no more; a receiver that does not answer keeps nobody from ending."""
        ending = threading.Thread(target=self._processor.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)

    def _samples(self, context: str) -> bool:
        parent = _context(context)
        return self._is_sampled(set_span_in_context(NonRecordingSpan(parent)), parent.trace_id)

    def _is_sampled(self, parent: Context | None, trace_id: int) -> bool:
        return self._sampler.should_sample(parent, trace_id, ADMIT).decision is Decision.RECORD_AND_SAMPLE

    def _send(self, spans: Sequence[bytes]) -> None:
        for first in range(0, len(spans), PACKET):
            packet = Written(b"".join(spans[first : first + PACKET]))
            self._processor.on_end(packet)  # type: ignore[arg-type]

    def _child_of(self, parent: SpanContext) -> SpanContext:
        return SpanContext(parent.trace_id, _random(8), False, parent.trace_flags, parent.trace_state)

    def _end(
        self,
        name: str,
        own: SpanContext,
        parent: SpanContext | None,
        start: int,
        end: int,
        attributes: Mapping[str, Any],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = OK,
        links: Sequence[Link] = (),
        events: Sequence[Event] = (),
    ) -> None:
        span = ReadableSpan(
            name,
            own,
            parent,
            attributes=attributes,
            events=events,
            links=links,
            kind=kind,
            status=status,
            start_time=start,
            end_time=end,
            **self._about,
        )
        self._processor.on_end(span)


def _admitted(item: Item) -> tuple[str, tuple[str | int, ...]]:
    """The context of an item, and what tells its span from those of others that came with it."""
    if isinstance(item, Waiting):
        return ReviewDecision.trace_in(item.decision), (item.model, item.lane)
    return (trace_in(item.letter), (item.cause,)) if isinstance(item, Dead) else ("", ())


def _admission(arrival: Arrival, item: Item) -> Attributes:
    """What an admission's span tells."""
    attributes: Attributes = (("kili.project.id", item.project),)
    if arrival.source:
        attributes += (("prediction.source", arrival.source),)
    if arrival.replayed:
        attributes += (("prediction.replayed", arrival.replayed),)
    if isinstance(item, Dead):
        return (*attributes, ("error.type", item.cause))
    if isinstance(item, Waiting):
        return (*attributes, ("prediction.model", item.model), ("prediction.lane", item.lane))
    return attributes


def _settlement(one: Settlement) -> Attributes:
    """What a settlement's span tells, beside the project."""
    attributes: Attributes = (
        ("prediction.model", one.entry.model),
        ("prediction.outcome", one.outcome.value),
        ("prediction.waves", one.entry.deliveries),
    )
    return (*attributes, ("error.type", one.cause)) if one.cause else attributes


@lru_cache(4000)
def _attributes(attributes: Attributes) -> bytes:
    return attributes_of(dict(attributes))


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size)) or 1


def _context(text: str) -> SpanContext:
    state = TraceState.from_header([text[56:]]) if len(text) > 56 else None
    return SpanContext(int(text[3:35], 16), int(text[36:52], 16), True, TraceFlags(int(text[53:55], 16)), state)


def open_telemetry() -> Tracer | None:
    """The tracer that the ``OTEL_…`` variables describe; None where they switch it off.

    Raises:
        ValueError: a variable asks for what is not here.
    """
    if _variable("OTEL_SDK_DISABLED") == "true" or _variable("OTEL_TRACES_EXPORTER") == "none":
        return None
    if _variable("OTEL_TRACES_EXPORTER") not in ("", "otlp"):
        raise ValueError("OTEL_TRACES_EXPORTER: only otlp and none are known here; leave it out")
    protocol = _variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or _variable("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise ValueError("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken here; its port is 4318 mostly")
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "prediction-worker"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    processor = BatchSpanProcessor(
        Exporter(ReadableSpan("", INVALID_SPAN_CONTEXT, resource=resource, instrumentation_scope=SCOPE)),
        max_queue_size=None if _variable("OTEL_BSP_MAX_QUEUE_SIZE") else QUEUE,
        max_export_batch_size=None if _variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") else AT_ONCE,
    )
    links = _variable("OTEL_SPAN_LINK_COUNT_LIMIT")
    return OpenTelemetry(processor, provider.sampler, resource, int(links) if links.isdigit() else 128)


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
