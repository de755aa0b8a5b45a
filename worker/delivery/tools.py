"""What every wave of a process works with."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from worker.delivery.assets import AssetKeeper
from worker.delivery.awaited import AwaitedResults
from worker.delivery.callers import Callers
from worker.delivery.content import ContentSource
from worker.delivery.documents import Documents
from worker.delivery.imports import Imports
from worker.delivery.pace import Pace
from worker.interfaces import InterfaceCache
from worker.projects import Projects
from worker.spool import Spool


@dataclass(frozen=True, slots=True)
class WaveTools:
    """Shared by the waves, and by the batches of a wave."""

    callers: Callers
    spool: Spool
    interfaces: InterfaceCache
    projects: Projects
    awaited: AwaitedResults
    assets: AssetKeeper
    content: ContentSource
    imports: Imports
    documents: Documents
    pool: Executor
    pace: Pace
    batch_items: int
    fault_grace_ms: int
