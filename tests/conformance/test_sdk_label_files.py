"""Labels answered as files: the SDK fetches what `jsonResponseUrl` names, and each file can go wrong by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conformance.sdk_cars import HTTP, Cars, call, colour

URLS = """
query ($where: LabelWhere!) {
  labels(where: $where, first: 100, skip: 0) { jsonResponse jsonResponseUrl labelOf { externalId } }
}"""


@pytest.fixture(autouse=True)
def _by_url(admin: Callable[..., Any]) -> None:
    admin("config", {"label_json": "url"})


def files(cars: Cars) -> dict[str, str]:
    """The addresses by external id; the inline answers must be empty."""
    labels = call(cars.sandbox, URLS, where={"project": {"id": cars.project_id}})["labels"]
    assert {label["jsonResponse"] for label in labels} == {"{}"}
    return {label["labelOf"]["externalId"]: label["jsonResponseUrl"] for label in labels}


def test_the_sdk_reads_labels_from_their_files(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED", "GREY"])
    admin("reset", {})
    assert [label["jsonResponse"] for label in cars.labels("jsonResponse")] == [colour("RED"), colour("GREY")]
    assert admin("calls")["operations"]["labelFile"]["count"] == 2


def test_the_sdk_reads_the_labels_of_assets_from_their_files(cars: Cars) -> None:
    cars.label(["RED"])
    [label] = cars.read("labels.jsonResponse", asset_id=cars.ids[0])[0]["labels"]
    assert label["jsonResponse"] == colour("RED")


def test_a_file_needs_its_signature_and_its_label(cars: Cars) -> None:
    cars.label(["RED"])
    url = httpx.URL(files(cars)["a"])
    assert HTTP.get(url).json() == colour("RED")
    assert HTTP.get(url.copy_set_param("signature", "wrong")).status_code == 403
    cars.kili.delete_labels([label["id"] for label in cars.labels("id")])
    assert HTTP.get(url).status_code == 404


def test_one_file_can_be_missing(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED", "GREY"])
    action = {"kind": "status", "status": 404, "body": "NoSuchKey"}
    admin("faults", [{"operation": "labelFile", "external_id": "b", "action": action}])
    assert [HTTP.get(url).status_code for url in files(cars).values()] == [200, 404]


def test_a_file_can_be_slow(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED"])
    admin("faults", [{"operation": "labelFile", "times": 1, "action": {"kind": "delay", "seconds": 30}}])
    url = files(cars)["a"]
    with pytest.raises(httpx.ReadTimeout):
        HTTP.get(url, timeout=0.3)
    assert HTTP.get(url).json() == colour("RED")


def test_a_file_can_be_too_large_or_broken(cars: Cars, admin: Callable[..., Any]) -> None:
    cars.label(["RED"])
    url = files(cars)["a"]
    rule = {"operation": "labelFile", "times": 1}
    admin("faults", [{**rule, "action": {"kind": "padded", "bytes": 3_000_000}}])
    assert len(HTTP.get(url).content) == 3_000_000
    admin("faults", [{**rule, "action": {"kind": "truncated"}}])
    assert HTTP.get(url).text == '{"CLASSIFICATION_JOB": {"cat'
    admin("faults", [{**rule, "action": {"kind": "reset"}}])
    with pytest.raises(httpx.TransportError):
        HTTP.get(url)
