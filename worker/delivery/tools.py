"""What every wave of a process works with: its rules from the settings and its connections."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from worker.delivery.adaptive_limit import AdaptiveLimit
from worker.delivery.assets import AssetKeeper
from worker.delivery.awaited import AwaitedResults
from worker.delivery.clients import DeliveryClients
from worker.delivery.content import ContentSource
from worker.delivery.documents import Documents
from worker.delivery.failures import Graces
from worker.delivery.imports import Imports
from worker.kili.interfaces import InterfaceCache
from worker.projects.configuration import Projects
from worker.spool import Spool
from worker.tracing import NO_TRACES, Tracer


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Limits and times (in seconds)."""

    wave_items: int = 1000
    wave_bytes: int = 64_000_000
    batch_items: int = 100
    aging: float = 60.0
    graces: Graces = field(default_factory=Graces)
    interface_age: float = 600.0
    probe: float = 2.0
    probe_cap: float = 5.0
    retry_after_cap: float = 60.0
    path_roots: tuple[Path, ...] = ()
    one_document: bool = False


@dataclass(frozen=True, slots=True)
class WaveTools:
    """Shared by the waves, and by the batches of a wave."""

    clients: DeliveryClients
    spool: Spool
    interfaces: InterfaceCache
    projects: Projects
    awaited: AwaitedResults
    assets: AssetKeeper
    content: ContentSource
    imports: Imports
    documents: Documents
    pool: Executor
    ahead: Executor
    adaptive_limit: AdaptiveLimit
    batch_items: int
    tracer: Tracer = NO_TRACES
