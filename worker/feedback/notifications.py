"""An alarm as a message for people and for machines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx

from worker.environment.connections import trusted
from worker.feedback.messages import Links, detector_name, estimate_text

logger = logging.getLogger(__name__)

MOST_LINKS = 5


class WebhookShape(StrEnum):
    """What the receiver of a webhook understands."""

    GENERIC = "generic"
    SLACK = "slack"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True, slots=True)
class AlarmNotification:
    """An alarm of :func:`worker.feedback.report_data.report_data_of`, and where its project is."""

    alarm: Mapping[str, Any]
    links: Links

    @property
    def headline(self) -> str:
        """One line: what, whose, since when, from where to where."""
        sides = [f"{side} {estimate_text(self.alarm[side])}" for side in ("before", "after") if side in self.alarm]
        since = _moment(self.alarm["since"])
        agreement = f"; agreement {', '.join(sides)}" if sides else ""
        return (
            f"{self.alarm['model']}: {detector_name(self.alarm['detector'])} since about {since}: "
            f"{self.alarm['meaning']}{agreement}"
        )

    def body(self, shape: WebhookShape) -> Any:
        """The message in a shape."""
        match shape:
            case WebhookShape.SLACK:
                return {"text": f"{self.headline}\n<{self.links.home}|project in Kili>{self._slack_cases()}"}
            case WebhookShape.ALERTMANAGER:
                return [self._alert()]
            case WebhookShape.GENERIC:
                cases = [{**case, "link": self.links.asset(case["asset_id"])} for case in self.alarm["cases"]]
                known = {**self.alarm, "cases": cases, "project": self.links.project, "link": self.links.home}
                return {"event": "drift_alarm", "text": self.headline, **known}

    def _slack_cases(self) -> str:
        cases = self.alarm["cases"][:MOST_LINKS]
        return "".join(f" <{self.links.asset(case['asset_id'])}|{case['external_id']}>" for case in cases)

    def _alert(self) -> dict[str, Any]:
        """An alert as ``POST /api/v2/alerts`` of Alertmanager takes it, in a list."""
        return {
            "labels": {
                "alertname": "PredictionWorkerDrift",
                "project": self.links.project,
                "model": self.alarm["model"],
                "detector": self.alarm["detector"],
            },
            "annotations": {"summary": self.headline, "description": self.alarm["meaning"]},
            "startsAt": datetime.fromtimestamp(self.alarm["since"], UTC).isoformat(),
            "generatorURL": self.links.home,
        }


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices are posted to; seconds."""

    url: str
    shape: WebhookShape = WebhookShape.GENERIC
    timeout: float = 10.0

    def post(self, notification: AlarmNotification, http: httpx.Client | None = None) -> bool:
        """Post a notice; False when it was not taken, which the log then says."""
        try:
            opened = httpx.Client(verify=trusted(), timeout=self.timeout) if http is None else nullcontext(http)
            with opened as client:
                client.post(self.url, json=notification.body(self.shape)).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.warning("webhook not taken: %s", type(error).__name__, extra={"action": "webhook_failed"})
            return False
        return True


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y %H:%M UTC")
