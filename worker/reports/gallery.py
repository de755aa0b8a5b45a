"""Single predictions with both responses: disagreements to look at, and every answered one for retraining."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, zip_longest
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from worker.environment.connections import trusted
from worker.feedback.breakdown import SampledCase, cases_by_model
from worker.feedback.reading import ASSETS_PER_PAGE, LabelKind, ReadAsset, ReadLabel
from worker.feedback.records import AssetRecord
from worker.feedback.verdicts import standing_labels
from worker.kili import KiliAccess

logger = logging.getLogger(__name__)

MOST_BYTES = 400_000
MOST_CHARACTERS = 2000
SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to see of an asset: a picture as a data URI, or a text, or nothing and why."""

    picture: str = ""
    text: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One disagreement with the asset's content and the two responses."""

    row: Mapping[str, Any]
    shown: Shown
    model: Mapping[str, Any]
    human: Mapping[str, Any]


class AssetContents:
    """Fetches contents, with the API key only from Kili's own host.

    Args:
        endpoint: Kili's GraphQL URL.
        api_key: for files that Kili itself keeps.
        http: replaces the default client, for tests.
    """

    def __init__(self, endpoint: str, api_key: str, http: httpx.Client | None = None) -> None:
        self._origin = urlsplit(endpoint)[:2]
        self._headers = {"Authorization": f"X-API-Key: {api_key}"}
        self._is_own = http is None
        self._http = http or httpx.Client(verify=trusted(), timeout=15, follow_redirects=False)

    def of(self, asset: ReadAsset) -> Shown:
        """Fetch what an asset shows; a failure is told, never raised."""
        if not asset.content.startswith(("http://", "https://")):
            return Shown(text=(asset.content or asset.json_content)[:MOST_CHARACTERS])
        own = urlsplit(asset.content)[:2] == self._origin
        try:
            with self._http.stream("GET", asset.content, headers=self._headers if own else {}) as answer:
                answer.raise_for_status()
                data = _limited(answer.iter_bytes())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Shown(problem=f"cannot be fetched: {type(error).__name__}")
        return _shown(data)

    def close(self) -> None:
        """Close the connections; a client that was given is its owner's to close."""
        if self._is_own:
            self._http.close()


def varied(rows: Iterable[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """Choose disagreements to show: one of each kind after the other, the most frequent kind first.

    Disagreements are of a kind when the same model version said the same and the humans the same; ``alike`` is their
    number.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(json.dumps([row["model"], row["model_says"], row["human_says"]]), []).append(row)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    alternating = zip_longest(*([{**row, "alike": len(kind)} for row in kind] for kind in ordered))
    return [row for together in alternating for row in together if row is not None][:count]


def fetch_exhibits(rows: Sequence[Mapping[str, Any]], assets: Sequence[ReadAsset], access: KiliAccess) -> list[Exhibit]:
    """Fetch what the assets of disagreements show, and put both together."""
    contents = AssetContents(access.endpoint, access.api_key)
    try:
        return exhibits(rows, assets, contents)
    finally:
        contents.close()


def exhibits(rows: Sequence[Mapping[str, Any]], assets: Sequence[ReadAsset], contents: AssetContents) -> list[Exhibit]:
    """Put disagreements and assets together; those whose asset is gone are left out."""
    by_id = {asset.id: asset for asset in assets}
    shown = {key: contents.of(asset) for key, asset in by_id.items()}
    return [
        Exhibit(row, shown[row["asset_id"]], *responses(by_id[row["asset_id"]], row["model"]))
        for row in rows
        if row["asset_id"] in by_id
    ]


def responses(asset: ReadAsset, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest response of a model version, and the newest human one that counts; {} where there is none."""
    inferences = [
        one for one in asset.labels if one.kind is LabelKind.INFERENCE and one.model == model and not one.unread
    ]
    human = [label for label in asset.labels if label.kind is LabelKind.HUMAN and label.usable]
    standing = standing_labels(human)
    return _last(inferences), _last([label for label in human if label.id in standing])


def card(exhibit: Exhibit) -> dict[str, Any]:
    """One disagreement as the page shows it: a picture with outlines, or a text in pieces, and both answers."""
    shown = exhibit.shown
    sides = {"model": exhibit.model, "human": exhibit.human}
    return {
        "row": exhibit.row,
        "alike": exhibit.row.get("alike", 1),
        "picture": shown.picture,
        "shapes": [(who, ring) for who, response in sides.items() for ring in _shapes(response)],
        "pieces": _pieces(shown.text, sides),
        "problem": shown.problem,
        "said": _answer_text(exhibit.row["model_says"], exhibit.model),
        "meant": _answer_text(exhibit.row["human_says"], exhibit.human),
    }


def is_drawn(exhibit: Exhibit) -> bool:
    """Whether outlines or marked words show where model and humans see something."""
    return bool(_annotations(exhibit.model) or _annotations(exhibit.human))


def _last(labels: Sequence[ReadLabel]) -> dict[str, Any]:
    return labels[-1].response if labels else {}


def _limited(chunks: Iterable[bytes]) -> bytes:
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            break
    return data


def _shown(data: bytes) -> Shown:
    if len(data) > MOST_BYTES:
        return Shown(problem=f"larger than {MOST_BYTES // 1000} kB")
    kind = next((kind for signature, kind in SIGNATURES.items() if data.startswith(signature)), None)
    if kind is not None:
        return Shown(picture=f"data:{kind};base64,{base64.b64encode(data).decode()}")
    try:
        return Shown(text=data.decode()[:MOST_CHARACTERS])
    except UnicodeDecodeError:
        return Shown(problem="neither a picture nor a text")


def _answer_text(classes: Mapping[str, Sequence[str]], response: Mapping[str, Any]) -> str:
    names = [name for job in classes.values() for name in job]
    texts = [payload["text"] for payload in response.values() if isinstance(payload, Mapping) and "text" in payload]
    return ", ".join([*names, *(json.dumps(text, ensure_ascii=False) for text in texts)]) or "nothing"


def _annotations(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    payloads = [payload for payload in response.values() if isinstance(payload, Mapping)]
    found = [one for payload in payloads for one in payload.get("annotations") or ()]
    return [one for one in found if isinstance(one, Mapping)]


def _shapes(response: Mapping[str, Any]) -> list[str]:
    """Outlines in the unit square, as the points of polygons."""
    return [
        " ".join(f"{vertex['x']:.5f},{vertex['y']:.5f}" for vertex in poly["normalizedVertices"])
        for annotation in _annotations(response)
        for poly in _unfolded(annotation.get("boundingPoly"))
        if all(isinstance(vertex, Mapping) for vertex in poly.get("normalizedVertices") or [None])
    ]


def _unfolded(areas: Any) -> Iterator[Mapping[str, Any]]:
    """The rings of an area, also of one that is given in groups."""
    for area in areas if isinstance(areas, list) else ():
        if isinstance(area, Mapping):
            yield area
        else:
            yield from _unfolded(area)


def _pieces(text: str, sides: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The text cut where entities begin and end; each piece with who marks it as what, the innermost mark first."""
    spans = [(*span, who) for who, response in sides.items() for span in _spans(response, len(text))]
    places = sorted({0, len(text), *(place for span in spans for place in span[:2])})
    return [
        (text[here:after], [(who, name) for begin, end, name, who in spans if begin <= here < end])
        for here, after in pairwise(places)
    ]


def _spans(response: Mapping[str, Any], length: int) -> list[tuple[int, int, str]]:
    found = []
    for one in _annotations(response):
        begin = one.get("beginOffset")
        end = one.get("endOffset", (begin or 0) + len(str(one.get("content", ""))))
        if isinstance(begin, int) and isinstance(end, int) and 0 <= begin < end <= length:
            names = ", ".join(str(category.get("name")) for category in one.get("categories") or ())
            found.append((begin, end, names))
    return found


class AssetSource(Protocol):
    """Reads assets by id."""

    def assets(self, project: str, asset_ids: Sequence[str]) -> list[ReadAsset]:
        """Those of the assets that exist."""


def export_rows(records: Iterable[AssetRecord], source: AssetSource, project: str) -> Iterator[dict[str, Any]]:
    """Read the answered assets from Kili again and give a row per model version; one call per 50 assets.

    Assets with a label file that cannot be read are left out, which the log says.
    """
    answered: dict[str, list[SampledCase]] = {}
    for cases in cases_by_model(records).values():
        for case in cases:
            if case.sample.answered:
                answered.setdefault(case.record.asset_id, []).append(case)
    ids = sorted(answered)
    for start in range(0, len(ids), ASSETS_PER_PAGE):
        found = source.assets(project, ids[start : start + ASSETS_PER_PAGE])
        whole = [asset for asset in found if not any(label.unread for label in asset.labels)]
        if len(whole) < len(found):
            extra = {"action": "export_left_out", "assets": len(found) - len(whole)}
            logger.warning("%d assets left out: a label file cannot be read", len(found) - len(whole), extra=extra)
        for asset in whole:
            yield from (_row(case, asset) for case in answered[asset.id])


def _row(case: SampledCase, asset: ReadAsset) -> dict[str, Any]:
    stated, meant = responses(asset, case.answer.model)
    decision = case.record.decision
    return {
        "asset_id": asset.id,
        "external_id": asset.external_id,
        "content": asset.content,
        "model": case.answer.model,
        "agreement": 1 - (case.sample.error or 0.0),
        "disagrees": (case.sample.error or 0.0) > 0,
        "model_response": stated,
        "human_response": meant,
        "labels": [verdict.label_id for verdict in case.standing],
        "authors": [verdict.author for verdict in case.standing],
        "predicted_at": datetime.fromtimestamp(case.sample.at, UTC).isoformat(),
        "answered_at": datetime.fromtimestamp(case.sample.answered_at, UTC).isoformat(),
        "confidence": case.confidence,
        "p_error": case.sample.p_error,
        "audit": case.sample.audited,
        "reason": decision.reason if decision else "",
    }
