"""Spans in OTLP's protobuf form, written directly: the general encoder takes longer than the rest of a span.

Only what our own spans have is written; field numbers are those of ``opentelemetry/proto/trace/v1/trace.proto``. A test
holds the result against the general encoder's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

HAS_REMOTE, IS_REMOTE = 0x100, 0x200
_FIXED = struct.Struct("<BQBQ")
_DOUBLE = struct.Struct("<Bd")
_TIME = struct.Struct("<BQ")


def request_of(spans: Sequence[Any], about: ReadableSpan | None = None) -> bytes:
    """An ``ExportTraceServiceRequest`` with spans of the resource and scope that a span has, by default the first."""
    resource, scope = origin_of(about or spans[0])
    written = (span.raw if isinstance(span, Written) else _part(0x12, _span(span)) for span in spans)
    return _part(0x0A, resource + _part(0x12, b"".join((scope, *written))))


@lru_cache(4)
def origin_of(span: ReadableSpan) -> tuple[bytes, bytes]:
    """The resource and the scope of a span, written."""
    head = encode_spans([span]).resource_spans[0]
    del head.scope_spans[0].spans[:]
    scope = head.scope_spans[0].SerializeToString()
    del head.scope_spans[:]
    return head.SerializeToString(), scope


class Exporter(OTLPSpanExporter):
    """OTLP over HTTP as OpenTelemetry sends it, with the requests written here.

    Args:
        about: has the resource and scope of all spans.

    Raises:
        ValueError: this release of the exporter has no part that only sends.
    """

    def __init__(self, about: ReadableSpan) -> None:
        super().__init__()
        self._about = about
        if not callable(getattr(getattr(self, "_client", None), "export", None)):
            raise ValueError("opentelemetry-exporter-otlp-proto-http: this release is not known here; install 1.45")  # noqa: TRY004

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Send spans."""
        return (
            SpanExportResult.SUCCESS
            if self._client.export(request_of(spans, self._about)).success
            else SpanExportResult.FAILURE
        )


class _Sampled:
    trace_flags = TraceFlags(TraceFlags.SAMPLED)


class Written:
    """Sampled spans that are written already; they wait and are sent as one."""

    __slots__ = ("raw",)
    context = _Sampled()

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class Pattern:
    """Spans that are written without objects for their parts: first what several of them share, then each.

    Args:
        name: of the spans.
        kind: of the spans.
        about: attributes that all of them have.
        link: of all of them.
    """

    def __init__(self, name: str, kind: SpanKind, about: Mapping[str, Any], link: SpanContext | None = None) -> None:
        self._named = _text(0x2A, name) + b"\x30" + bytes((kind.value + 1,))
        self._about = attributes_of(about)
        self._linked = _link(link) if link is not None else b""

    def shared(self, start: int, end: int, attributes: bytes, *, root: bool = False, failed: bool = False) -> bytes:
        """All of a span but its ids; the same for all spans that began and ended together and have one outcome."""
        return b"".join(
            (
                self._named,
                _FIXED.pack(0x39, start, 0x41, end),
                self._about,
                attributes,
                self._linked,
                b"\x7a\x02\x18\x02" if failed else b"\x7a\x00",
                b"\x85\x01\x00\x01\x00\x00" if root else b"\x85\x01\x00\x03\x00\x00",
            )
        )


def child(text: str, own: bytes, shared: bytes) -> bytes:
    """The span ``own`` below the one that a context names."""
    trace, parent = bytes.fromhex(text[3:35]), bytes.fromhex(text[36:52])
    stated = _stated(text) if len(text) > 56 else b""
    size = _varint(38 + len(stated) + len(shared))
    return b"\x12%b\x0a\x10%b\x12\x08%b\x22\x08%b%b%b" % (size, trace, own, parent, stated, shared)


def root(text: str, shared: bytes) -> bytes:
    """The span that a context itself names."""
    trace, own = bytes.fromhex(text[3:35]), bytes.fromhex(text[36:52])
    stated = _stated(text) if len(text) > 56 else b""
    size = _varint(28 + len(stated) + len(shared))
    return b"\x12%b\x0a\x10%b\x12\x08%b%b%b" % (size, trace, own, stated, shared)


def _stated(text: str) -> bytes:
    return _part(0x1A, ",".join(f"{k}={v}" for k, v in _items(text[56:])).encode())


def _items(state: str) -> Iterable[tuple[str, str]]:
    return TraceState.from_header([state]).items()


def links_of(texts: Iterable[str]) -> bytes:
    """Links with contexts that came from elsewhere, written."""
    return b"".join(
        b"\x6a\x21\x0a\x10%b\x12\x08%b\x35\x00\x03\x00\x00" % (bytes.fromhex(text[3:35]), bytes.fromhex(text[36:52]))
        for text in texts
    )


def attributes_of(values: Mapping[str, Any]) -> bytes:
    """Attributes of a span, written."""
    return b"".join(_attribute(0x4A, name, value) for name, value in values.items())


def _span(span: ReadableSpan) -> bytes:
    context, parent = span.context, span.parent
    assert context is not None  # noqa: S101 - every span of ours has one; for the type checker
    flags = HAS_REMOTE | (IS_REMOTE if parent is not None and parent.is_remote else 0)
    parts = [
        b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16), context.span_id.to_bytes(8)),
        _part(0x1A, _state(context).encode()) if context.trace_state else b"",
        b"\x22\x08" + parent.span_id.to_bytes(8) if parent is not None else b"",
        _text(0x2A, span.name),
        b"\x30" + bytes((span.kind.value + 1,)),
        _FIXED.pack(0x39, span.start_time or 0, 0x41, span.end_time or 0),
        *(_attribute(0x4A, name, value) for name, value in (span.attributes or {}).items()),
        *(_part(0x5A, _event(event)) for event in span.events),
        *(_link(link.context) for link in span.links),
        b"\x7a\x02\x18\x02" if span.status.status_code.value == 2 else b"\x7a\x00",
        b"\x85\x01" + flags.to_bytes(4, "little"),
    ]
    return b"".join(parts)


def _event(event: Any) -> bytes:
    attributes = (_attribute(0x1A, name, value) for name, value in (event.attributes or {}).items())
    return b"".join((_TIME.pack(0x09, event.timestamp), _text(0x12, event.name), *attributes))


def _link(context: SpanContext) -> bytes:
    flags = HAS_REMOTE | (IS_REMOTE if context.is_remote else 0)
    ids = (context.trace_id.to_bytes(16), context.span_id.to_bytes(8), flags.to_bytes(4, "little"))
    return b"\x6a\x21\x0a\x10%b\x12\x08%b\x35%b" % ids


def _state(context: SpanContext) -> str:
    return ",".join(f"{key}={value}" for key, value in context.trace_state.items())


@lru_cache(4000)
def _attribute(tag: int, name: str, value: Any) -> bytes:
    return _part(tag, _text(0x0A, name) + _part(0x12, _value(value)))


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, float):
        return _DOUBLE.pack(0x21, value)
    return _text(0x0A, value)


@lru_cache(1000)
def _text(tag: int, text: str) -> bytes:
    return _part(tag, text.encode("utf-8", "replace"))


def _part(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    return b"".join(_digits(number))


def _digits(number: int) -> Iterable[bytes]:
    while number >= 0x80:
        yield bytes((number & 0x7F | 0x80,))
        number >>= 7
    yield bytes((number,))
