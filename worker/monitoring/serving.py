"""What a worker serves over HTTP, put together."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from worker.delivery import AdaptiveLimit
from worker.monitoring import metrics
from worker.monitoring.endpoint import Endpoint, EndpointAnswer, Route
from worker.monitoring.probes import Probes
from worker.monitoring.series import Family, exposition, family_of
from worker.monitoring.worker_monitor import WorkerMonitor
from worker.settings.address import Address


def worker_routes(monitor: WorkerMonitor, probes: Probes, adaptive_limit: AdaptiveLimit) -> dict[str, Route]:
    """``/metrics``, ``/livez`` and ``/readyz`` of one worker."""

    def limits() -> Iterator[Family]:
        yield family_of(metrics.LIMIT, float(adaptive_limit.limit))
        yield family_of(metrics.IN_FLIGHT, float(adaptive_limit.in_flight))

    registry = monitor.registry(probes.families, limits)
    return {
        "/metrics": lambda accept: EndpointAnswer(HTTPStatus.OK, *exposition(registry, accept)),
        "/livez": lambda _: probes.live(),
        "/readyz": lambda _: probes.ready(),
    }


def worker_endpoint(
    listen: str, monitor: WorkerMonitor, probes: Probes, adaptive_limit: AdaptiveLimit
) -> Endpoint | None:
    """The server of one worker; None where it is off."""
    return Endpoint(Address.parse(listen), worker_routes(monitor, probes, adaptive_limit)) if listen else None
