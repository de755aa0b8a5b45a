"""A receiver of OTLP over HTTP, as a collector is one: a real server that decodes the protobuf it is sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Received:
    """A span as it was received; ids in hexadecimal digits, ``parent`` empty for a root."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    failed: bool
    start: int
    end: int
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    links: tuple[tuple[str, str], ...]
    service: str


@dataclass
class Collector:
    """What has been received so far, and the environment of a process that sends here."""

    endpoint: str = ""
    spans: list[Received] = field(default_factory=list)
    requests: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a worker whose spans are to come here soon."""
        return {
            "WORKER_TRACES__ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def named(self, name: str, trace: str | None = None, **attributes: Any) -> list[Received]:
        """The spans of a name, of one trace, with these attributes (a dot is written as two underscores)."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return [
            span
            for span in list(self.spans)
            if span.name == name and trace in (None, span.trace) and wanted.items() <= dict(span.attributes).items()
        ]

    def of_trace(self, trace: str) -> list[Received]:
        """The spans of a trace in the order of their beginnings."""
        return sorted((span for span in list(self.spans) if span.trace == trace), key=lambda span: span.start)


@contextmanager
def collector() -> Iterator[Collector]:
    """A receiver on a port of its own."""
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.requests.append(dict(self.headers.items()))
            found.paths.append(self.path)
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.spans.extend(decoded(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.endpoint = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def decoded(body: bytes) -> Iterator[Received]:
    """The spans of a request."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource_spans in request.resource_spans:
        service = _values(resource_spans.resource.attributes).get("service.name", "")
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield Received(
                    name=span.name,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    kind=span.kind,
                    failed=span.status.code == 2,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes=_values(span.attributes),
                    events=tuple((event.name, _values(event.attributes)) for event in span.events),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                    service=service,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
