"""Projects' interfaces, read once for the whole fleet."""

from __future__ import annotations

import json
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.kili.operations import ProjectInterface
from worker.ontology import Interface, drift

logger = logging.getLogger(__name__)


def interface_of(found: ProjectInterface) -> Interface:
    """The interface that Kili told; raises :class:`~worker.ontology.InterfaceError` when it cannot be read."""
    return Interface.parse(found.json_interface, found.input_type, found.labeling_crs)


class InterfaceCache:
    """Interfaces by project, in this process and in Redis.

    Args:
        client: of the spool's Redis.
        prefix: of every key.
        max_age: seconds after which an interface is read anew.
        fetch: asks Kili.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        max_age: float,
        fetch: Callable[[str], ProjectInterface],
    ) -> None:
        self._redis = client
        self._prefix = prefix
        self._fetch = fetch
        self._max_age = max_age
        self._known: dict[str, tuple[float, Interface]] = {}
        self._lock = threading.Lock()
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def get(self, project: str) -> Interface:
        """The project's interface; errors of Kili pass through."""
        known = self._known.get(project)
        if known is not None and clock.now() - known[0] < self._max_age:
            return known[1]
        return self._take_over(project) or self.refresh(project)

    def renew(self, project: str, *, since: float) -> bool:
        """Ask Kili again, unless it was asked after this moment (seconds since the epoch); whether it was asked."""
        with self._asking[project]:
            known = self._known.get(project)
            if known is not None and known[0] > since:
                return False
            self.refresh(project)
            return True

    def refresh(self, project: str) -> Interface:
        """Ask Kili, tell the fleet, and say what has changed."""
        asked = clock.now()
        found = self._fetch(project)
        about = {"at": asked, "input_type": found.input_type, "json_interface": found.json_interface}
        about["labeling_crs"] = found.labeling_crs
        known = self._known.get(project)
        before = self._take_over(project) or (known[1] if known else None)
        interface = self._keep(project, about)
        insist(self._redis, "SET", self._key(project), json.dumps(about), "EX", max(1, int(self._max_age)))
        if before is not None:
            _log_changes(project, before, interface)
        return interface

    def _take_over(self, project: str) -> Interface | None:
        """What the fleet knows; what a worker wrote that asked for less is asked anew."""
        stored = self._redis.get(self._key(project))
        about = json.loads(stored) if isinstance(stored, bytes) else {}
        return self._keep(project, about) if "labeling_crs" in about else None

    def _keep(self, project: str, about: Mapping[str, Any]) -> Interface:
        interface = Interface.parse(about["json_interface"], about["input_type"], about["labeling_crs"])
        with self._lock:
            self._known[project] = (about["at"], interface)
        return interface

    def _key(self, project: str) -> str:
        return f"{self._prefix}interface:{project}"


def _log_changes(project: str, before: Interface, after: Interface) -> None:
    """One line for a change, however many predictions it concerns."""
    changes = drift(before, after)
    if changes:
        level = logging.WARNING if changes.gone or changes.altered else logging.INFO
        extra = {"action": "interface_changed", "project": project, "gone": changes.gone, "new": changes.new}
        logger.log(level, "the interface of project %s has changed: %s", project, changes, extra=extra)
