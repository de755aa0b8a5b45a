"""What the worker hears of the labelers: told as Kili's webhook would, awaited, and looked at in the end."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker.feedback.figures import disagreements
from worker.feedback.gallery import fetch_exhibits, varied
from worker.feedback.links import Links
from worker.feedback.reading import Kind, Reader
from worker.feedback.report_html import page
from worker.feedback.turns import Turns
from worker.listening import feedback_of
from worker.ontology import Interface
from worker.parts import access_of, budget_of, spool_of
from worker.settings import Settings

LOOK_SECONDS = 0.05
SHOWN = 40
ABOUT = (
    "How often three model versions of the demo agree with simulated labelers, estimated for all of their traffic from "
    "the part that was reviewed"
)


class Heard:
    """The feedback room of the demo's project, from outside.

    Args:
        settings: of the worker.
        project: id.
        interface: the project's jsonInterface.
    """

    def __init__(self, settings: Settings, project: str, interface: dict[str, Any]) -> None:
        self._settings = settings
        self._spool = spool_of(settings)
        self._turns = Turns(self._spool.redis, self._spool.prefix)
        self._reader = Reader(access_of(settings), budget=budget_of(settings, self._spool))
        self._feedback = feedback_of(settings, self._spool, project, self._reader, Interface.parse(interface, "IMAGE"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def links(self) -> Links:
        """Addresses of the project."""
        return self._feedback.links

    def wait(self, labels: int, patience: float) -> bool:
        """Bring the worker's next look forward and wait until it knows so many human labels; False when it does not."""
        self._turns.put(self._feedback.project)
        end = time.monotonic() + patience
        while (known := self.known()) < labels and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return known >= labels

    def figures(self, patience: float) -> dict[str, Any]:
        """Every figure, once all labels are read: the worker puts predictions off while delivery needs the calls."""
        end = time.monotonic() + patience
        while not self._feedback.collect().complete and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return self._feedback.figures()

    def write_page(self, figures: dict[str, Any], title: str, file: Path) -> None:
        """Write the report's page."""
        rows = varied(disagreements(self._feedback.store.records()), SHOWN)
        assets = self._reader.assets(self._feedback.project, sorted({row["asset_id"] for row in rows}))
        shown = fetch_exhibits(rows, assets, access_of(self._settings))
        file.write_text(page(figures, title, self.links, shown, about=ABOUT), "utf-8")

    def known(self) -> int:
        """Human labels that the worker has read."""
        return sum(self._feedback.store.counts(Kind.HUMAN).values())
