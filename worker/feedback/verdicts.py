"""From an asset as Kili has it to what is kept of it: a pure function, so that reading twice changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import fsum
from typing import Any

from worker.feedback.reading import LabelKind, ReadAsset, ReadLabel
from worker.feedback.records import Answer, AssetRecord, Classes, Decision, HumanVerdict, LabelKey
from worker.ontology import IGNORED_JOBS, Interface, agreement
from worker.review import ReviewDecision, Verdict
from worker.tracing import TRACE_KEY, Evaluation, parsed

logger = logging.getLogger(__name__)


def evaluations(
    project: str, pairs: Iterable[tuple[ReadAsset, AssetRecord]], before: Collection[str]
) -> Iterator[Evaluation]:
    """Those verdicts that are new, by the ids of their labels, and about the prediction whose trace the asset keeps."""
    for asset, record in pairs:
        context = trace_of(asset)
        if not context or record.decision is None:
            continue
        for answer in record.answers:
            for verdict in answer.verdicts if answer.model == record.decision.model else ():
                if verdict.label_id not in before:
                    yield Evaluation(
                        context,
                        project,
                        answer.model,
                        verdict.label_id,
                        verdict.label_type,
                        verdict.at,
                        verdict.agreement,
                    )


def trace_of(asset: ReadAsset) -> str:
    """The context in the asset's metadata; empty when it is about an earlier prediction.

    A worker of a release without traces leaves it behind when it writes a newer prediction.
    """
    parent, _, moment = str(asset.metadata.get(TRACE_KEY, "")).partition(" ")
    return parsed(parent) if moment and moment == asset.metadata.get("prediction_at") else ""


AnsweredAsset = tuple[ReadAsset, AssetRecord]


def training_examples(project: str, answered: Iterable[AnsweredAsset]) -> Iterator[Verdict]:
    """Give, for each asset with answers that count, what they say of the model version it was decided for."""
    for asset, record in answered:
        decision = ReviewDecision.from_metadata(asset.metadata)
        if decision is None or record.decision is None:
            continue
        for answer in record.answers:
            wrong = _wrong(answer, decision.job)
            if answer.model == record.decision.model and wrong is not None:
                yield Verdict(project, answer.model, decision, wrong, record.external_id)


def _wrong(answer: Answer, job: str) -> float | None:
    values = [one.jobs.get(job, one.agreement) for one in answer.verdicts if one.standing]
    return min(1.0, max(0.0, 1 - fsum(values) / len(values))) if values else None


UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""What comparing a response of the wrong shape may raise; people and plugins may write any shape."""

OWN_PREFIXES = ("prediction_", "review_")
SLICE_KEYS = 8
SLICE_LENGTH = 60


def record_of(asset: ReadAsset, interface: Interface) -> AssetRecord:
    """Hold every usable human label against the newest answer of every model version.

    A model's answer that could not be read is left out; a human's leaves out all of them, since it may be the one that
    counts.
    """
    human = [label for label in asset.labels if label.kind is LabelKind.HUMAN]
    human = [] if any(label.unread for label in human) else [label for label in human if label.usable]
    newest = {label.model: label for label in asset.labels if label.kind is LabelKind.INFERENCE}
    newest = {model: label for model, label in newest.items() if label.unread is None}
    latest = max(newest.values(), key=lambda label: (label.at, label.id), default=None)
    answers = [
        Answer(
            model=label.model,
            label_id=label.id,
            at=label.at,
            classes=classes_of(label.response, interface),
            verdicts=tuple(_verdicts(label, human, interface, is_latest=label is latest)),
        )
        for label in sorted(newest.values(), key=lambda label: (label.at, label.id))
    ]
    return AssetRecord(
        asset_id=asset.id,
        external_id=asset.external_id,
        created=asset.created,
        decision=decision_in(asset.metadata),
        slices=slices_in(asset.metadata),
        answers=tuple(answers),
        labels=tuple(_keys(asset.labels)),
        first_human=human[0].at if human else None,
    )


def standing_labels(human: Sequence[ReadLabel]) -> set[str]:
    """Ids of the labels that count, of labels in order of time: the last review, else each labeler's last answer."""
    reviews = [label for label in human if label.label_type == "REVIEW"]
    if reviews:
        return {reviews[-1].id}
    return {label.id for label in {label.author: label for label in human}.values()}


def decision_in(metadata: Mapping[str, Any]) -> Decision | None:
    """The review decision in an asset's metadata; None where no worker has left one that can be read."""
    try:
        at = datetime.fromisoformat(metadata["prediction_at"])
        model = metadata["prediction_model"]
    except (KeyError, TypeError, ValueError):
        return None
    inclusion = _number(metadata.get("review_inclusion_probability"))
    return Decision(
        model=str(model),
        at=(at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp(),
        band=int(_number(metadata.get("review_band")) or 0),
        p_error=_number(metadata.get("review_error_probability", metadata.get("review_p_error"))),
        inclusion=inclusion,
        confidence=_number(metadata.get("prediction_confidence")),
        uploaded=_number(metadata.get("review_uploaded_share")) or 1.0,
        reason=str(metadata.get("review_reason", "")),
        policy=str(metadata.get("review_policy", "")),
    )


def slices_in(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The first few of the producer's own metadata that are short enough to group by."""
    own = {
        key: str(value)
        for key, value in sorted(metadata.items())
        if not key.startswith(OWN_PREFIXES) and isinstance(value, str | bool | int) and len(str(value)) <= SLICE_LENGTH
    }
    return dict(list(own.items())[:SLICE_KEYS])


def classes_of(response: Mapping[str, Any], interface: Interface) -> Classes:
    """Per job of the interface, the names of the categories that a response gives anywhere in it."""
    found: dict[str, set[str]] = {}
    levels = response.values() if interface.is_video else (response,)
    for level in levels:
        _collect(level, interface, found)
    return {job: sorted(names) for job, names in sorted(found.items()) if names}


def _collect(payloads: Any, interface: Interface, found: dict[str, set[str]]) -> None:
    if not isinstance(payloads, Mapping):
        return
    for job, payload in payloads.items():
        if job in IGNORED_JOBS or job not in interface.jobs or not isinstance(payload, Mapping):
            continue
        names = found.setdefault(job, set())
        for holder in (payload, *_objects(payload.get("annotations"))):
            categories = _objects(holder.get("categories"))
            names.update(str(category.get("name")) for category in categories)
            for parent in (holder, *categories):
                _collect(parent.get("children"), interface, found)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _verdicts(
    model: ReadLabel, human: Sequence[ReadLabel], interface: Interface, *, is_latest: bool
) -> Iterator[HumanVerdict]:
    """Kili marks its newest human label against its newest prediction; other marks may be about another pair."""
    standing = standing_labels(human)
    for one in human:
        try:
            found = agreement(model.response, one.response, interface)
        except UNREADABLE as problem:
            extra = {"action": "verdict_unreadable", "label": one.id, "model": model.model}
            logger.warning("a label cannot be compared: %r", problem, extra=extra)
            continue
        yield HumanVerdict(
            label_id=one.id,
            label_type=one.label_type,
            author=one.author,
            at=one.at,
            agreement=round(found.overall, 6),
            jobs={job: round(value, 6) for job, value in found.jobs.items()},
            classes=classes_of(one.response, interface),
            mark=one.mark if is_latest and one is human[-1] else None,
            standing=one.id in standing,
            seconds=one.seconds,
        )


def _keys(labels: Sequence[ReadLabel]) -> Iterator[LabelKey]:
    for label in labels:
        if label.kind is not None:
            yield LabelKey(label.id, label.kind, datetime.fromtimestamp(label.at, UTC).date())


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
