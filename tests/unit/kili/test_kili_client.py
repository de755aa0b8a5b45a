"""What each method sends and what it makes of the answer."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from kili_doubles import API_KEY, data, distinct, graphql_error, rig, single_attempt

from worker.kili.errors import AddressRefused, RateLimited, RefusedItems, TooLarge, Unavailable, UnknownOutcome
from worker.kili.operations import AssetUpdate, FoundAsset, NewAsset, NewLabel, Notification, ProjectInterface


def asset_row(asset_id: str, external_id: str, created_at: str = "2026-01-01T00:00:00.000Z") -> dict[str, Any]:
    return {
        "id": asset_id,
        "externalId": external_id,
        "jsonMetadata": '{"camera": "3"}',
        "priority": 4,
        "createdAt": created_at,
    }


def test_existing_external_ids_are_asked_for_a_thousand_at_a_time_and_once_each() -> None:
    run = rig(data(["x0", "x999"]), data(["x1000"]))
    asked = [*distinct("x", 1001), "x0"]
    assert run.client.existing_external_ids("p", asked) == {"x0", "x999", "x1000"}
    sizes = [len(sent.variables["externalIDs"]) for sent in run.server.sent]
    assert sizes == [1000, 1]
    assert run.server.sent[0].variables["projectID"] == "p"
    assert [record.items for record in run.records] == [1000, 1]


def test_nothing_to_ask_or_to_write_makes_no_call() -> None:
    run = rig(data([]))
    assert run.client.existing_external_ids("p", []) == set()
    assert run.client.find_assets("p", []) == {}
    assert run.client.assets_by_id("p", []) == {}
    assert run.client.append_assets("p", []) == []
    run.client.append_labels("p", [])
    run.client.update_assets("p", [])
    assert run.client.signed_upload_urls("p", []) == []
    assert run.server.sent == []


def test_found_assets_are_paged_to_the_first_short_page() -> None:
    first = [asset_row(f"c{number}", f"x{number}") for number in range(100)]
    run = rig(data(first), data([asset_row("c100", "x100")]))
    found = run.client.find_assets("p", [f"x{number}" for number in range(150)])
    assert len(found) == 101
    assert [sent.variables["skip"] for sent in run.server.sent] == [0, 100]
    assert run.server.sent[0].variables["first"] == 100
    assert run.server.sent[0].variables["where"]["project"] == {"id": "p"}
    assert len(run.server.sent[0].variables["where"]["externalIdStrictlyIn"]) == 150


def test_the_oldest_of_several_assets_with_one_external_id_comes_first() -> None:
    rows = [
        asset_row("c-young", "a", "2026-03-01T00:00:00.000Z"),
        asset_row("c-old", "a", "2026-01-01T00:00:00.000Z"),
        asset_row("c-old", "a", "2026-01-01T00:00:00.000Z"),
        asset_row("c-of-b", "b", "2025-01-01T00:00:00.000Z"),
    ]
    found = single_attempt(data(rows)).client.find_assets("p", ["a", "b", "absent"])
    assert {external_id: [asset.id for asset in assets] for external_id, assets in found.items()} == {
        "a": ["c-old", "c-young"],
        "b": ["c-of-b"],
    }
    assert found["b"] == [FoundAsset("c-of-b", "b", {"camera": "3"}, 4)]


def test_assets_by_id_takes_one_call_per_hundred() -> None:
    run = rig(data([asset_row("c0", "a")]), data([]))
    found = run.client.assets_by_id("p", distinct("c", 150))
    assert list(found) == ["c0"]
    assert [len(sent.variables["where"]["idIn"]) for sent in run.server.sent] == [100, 50]


def test_assets_are_created_in_one_call() -> None:
    run = rig(data([{"id": "c1"}, {"id": "c2"}]))
    ids = run.client.append_assets("p", [NewAsset("c1", "a", "https://h/a"), NewAsset("c2", "b", "https://h/b")])
    assert ids == ["c1", "c2"]
    (sent,) = run.server.sent
    assert sent.variables["data"]["idArray"] == ["c1", "c2"]
    assert sent.variables["where"] == {"id": "p"}
    (record,) = run.records
    assert (record.operation, record.items, record.status) == ("appendManyAssets", 2, 200)
    assert (record.outcome, record.waited, record.bytes_sent) == ("ok", 0.25, len(sent.content))


def test_labels_and_updates_take_one_call_each() -> None:
    run = rig(data([{"id": "label-1"}]))
    run.client.append_labels("p", [NewLabel("c1", "{}", "m:1")])
    run.client.update_assets("p", [AssetUpdate("c1", priority=5)])
    labels, update = run.server.sent
    assert labels.variables["data"]["labelsData"][0]["assetID"] == "c1"
    assert update.variables == {"where": [{"id": "c1"}], "data": [{"priority": 5}]}


def test_a_project_interface_is_parsed() -> None:
    jobs = {"jobs": {"J": {"mlTask": "CLASSIFICATION"}}}
    row = {"id": "p", "title": "Cars", "inputType": "IMAGE", "jsonInterface": json.dumps(jobs)}
    run = single_attempt(data([row]))
    assert run.client.project_interface("p") == ProjectInterface("p", "IMAGE", jobs, "Cars")
    assert run.server.sent[0].variables == {"where": {"id": "p"}, "first": 1, "skip": 0}


def geospatial(settings: Any) -> ProjectInterface:
    row = {"id": "p", "title": "Scenes", "inputType": "GEOSPATIAL", "jsonInterface": '{"jobs": {}}'}
    return rig(data([row]), data([{"geospatialSettings": settings}])).client.project_interface("p")


@pytest.mark.parametrize(
    ("settings", "labeling_crs"),
    [
        ({"labelingCRSCode": "PIXEL"}, "PIXEL"),
        ('{"labelingCRSCode": "PIXEL"}', "PIXEL"),
        ({"labelingCRSCode": "EPSG4326"}, "EPSG4326"),
        ({}, None),
        (None, None),
    ],
)
def test_a_project_of_scenes_says_what_its_coordinates_are(settings: Any, labeling_crs: str | None) -> None:
    assert geospatial(settings).labeling_crs == labeling_crs


def test_a_backend_that_knows_no_such_setting_is_asked_and_has_none() -> None:
    row = {"id": "p", "title": "Maps", "inputType": "GEOSPATIAL", "jsonInterface": '{"jobs": {}}'}
    unknown = graphql_error('Cannot query field "geospatialSettings" on type "Project".', status=400)
    run = rig(data([row]), *[unknown] * 4)
    assert run.client.project_interface("p").labeling_crs is None


def test_a_project_of_images_is_asked_once() -> None:
    run = single_attempt(data([{"id": "p", "title": "Cars", "inputType": "IMAGE", "jsonInterface": "{}"}]))
    assert run.client.project_interface("p").labeling_crs is None
    assert "geospatialSettings" not in run.server.sent[0].body["query"]


def test_a_project_that_is_missing_shows_in_the_record() -> None:
    run = rig(data([]))
    with pytest.raises(Exception, match="sees no project"):
        run.client.project_interface("p")
    assert run.outcomes == ["RefusedProject"]


def test_text_that_utf8_cannot_hold_is_sent_escaped_for_the_server_to_judge() -> None:
    run = single_attempt(data([{"id": "c1"}]))
    run.client.append_assets("p", [NewAsset("c1", "\ud800 图", "")])
    assert run.server.sent[0].variables["data"]["externalIDArray"] == ["\ud800 图"]


def test_signed_urls_come_thirty_at_a_time_in_order() -> None:
    run = rig(data([f"u{n}" for n in range(30)]), data(["u30"]))
    assert run.client.signed_upload_urls("p", distinct("c", 31)) == [f"u{n}" for n in range(31)]
    first, second = run.server.sent
    assert first.variables["filePaths"][0] == "projects/p/assets/c0/content"
    assert (len(first.variables["filePaths"]), len(second.variables["filePaths"])) == (30, 1)


def test_a_signed_url_may_be_for_another_file_of_the_asset() -> None:
    run = rig(data(["u"]))
    run.client.signed_upload_urls("p", ["c0"], "jsonContent")
    assert run.server.sent[0].variables == {"filePaths": ["projects/p/assets/c0/jsonContent"]}


def test_an_import_in_the_background_answers_its_notification() -> None:
    run = single_attempt(data({"id": "n1"}))
    assert run.client.import_assets("p", [NewAsset("c1", "v", "https://h/v.mp4")], "NATIVE_VIDEO") == "n1"
    assert run.server.sent[0].variables == {
        "data": {
            "contentArray": ["https://h/v.mp4"],
            "externalIDArray": ["v"],
            "idArray": ["c1"],
            "jsonMetadataArray": ["{}"],
            "uploadType": "NATIVE_VIDEO",
        },
        "where": {"id": "p"},
    }


@pytest.mark.parametrize(
    ("answer", "found", "under_way"),
    [
        ([{"id": "n1", "status": "FAILURE", "message": "bad codec"}], Notification("FAILURE", "bad codec"), False),
        ([{"id": "n1", "status": "SUCCESS", "message": None}], Notification("SUCCESS"), False),
        ([{"id": "n1", "status": "PROCESSING", "message": None}], Notification("PROCESSING"), True),
    ],
)
def test_a_notification_tells_how_an_import_goes(answer: Any, found: Notification, under_way: bool) -> None:
    run = single_attempt(data(answer))
    assert run.client.notification("p", "n1") == found
    assert found.is_pending is under_way
    assert run.server.sent[0].variables == {"where": {"id": "n1"}, "first": 1, "skip": 0}


def test_a_notification_that_is_gone_is_none() -> None:
    assert single_attempt(data([])).client.notification("p", "n1") is None


def test_a_missing_signed_url_is_no_answer() -> None:
    with pytest.raises(UnknownOutcome, match="1 URLs for 2 assets"):
        single_attempt(data(["u0"])).client.signed_upload_urls("p", ["c0", "c1"])


@pytest.mark.parametrize(
    ("host", "blob"),
    [
        ("bucket.test", None),
        ("x.blob.core.windows.net", "BlockBlob"),
        ("blob.core.windows.net.evil.test", None),
    ],
)
def test_content_goes_to_the_signed_url_without_its_id_and_without_our_key(host: str, blob: str | None) -> None:
    run = rig(httpx.Response(201))
    run.client.upload(f"https://{host}/o?sig=s&id=42", b"bytes", "image/png")
    (sent,) = run.server.sent
    assert (sent.method, sent.url) == ("PUT", f"https://{host}/o?sig=s")
    assert (sent.content, sent.headers["content-type"]) == (b"bytes", "image/png")
    assert sent.headers.get("x-ms-blob-type") == blob
    assert API_KEY not in str(sent.headers.raw)
    assert run.budget.taken == 0
    assert [(record.operation, record.outcome) for record in run.records] == [("upload", "ok")]


def test_plain_text_is_uploaded_as_utf8() -> None:
    run = single_attempt(httpx.Response(200))
    run.client.upload("https://bucket.test/o", "é".encode(), "text/plain")
    assert run.server.sent[0].headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(403, text="<Code>ExpiredToken</Code>"), AddressRefused),
        (httpx.Response(404), AddressRefused),
        (httpx.Response(409), AddressRefused),
        (httpx.Response(400), RefusedItems),
        (httpx.Response(415), RefusedItems),
        (httpx.Response(418), RefusedItems),
        (httpx.Response(408), Unavailable),
        (httpx.Response(429), RateLimited),
        (httpx.Response(500), UnknownOutcome),
        (httpx.ReadError("reset"), UnknownOutcome),
        (httpx.Response(413), TooLarge),
        (httpx.Response(301, headers={"location": "https://elsewhere.test"}), AddressRefused),
    ],
)
def test_an_upload_that_fails_keeps_the_secret_of_its_url(
    answer: httpx.Response | Exception, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        single_attempt(answer).client.upload("https://bucket.test/o?signature=secret", b"x", "image/png")
    assert "secret" not in str(caught.value)


def test_an_upload_is_tried_again() -> None:
    run = rig(httpx.Response(503), httpx.Response(200))
    run.client.upload("https://bucket.test/o", b"x", "image/png")
    assert run.outcomes == ["UnknownOutcome", "ok"]


def test_a_signed_url_that_is_refused_is_not_tried_again() -> None:
    run = rig(httpx.Response(403), httpx.Response(200))
    with pytest.raises(AddressRefused):
        run.client.upload("https://bucket.test/o", b"x", "image/png")
    assert run.outcomes == ["AddressRefused"]


def test_a_signed_url_that_cannot_be_parsed_is_an_error_of_ours() -> None:
    with pytest.raises(UnknownOutcome):
        single_attempt(httpx.Response(200)).client.upload("https://bucket.test:port/", b"x", "image/png")


def test_an_observer_is_told_of_refusals() -> None:
    run = rig(httpx.Response(200, json={"errors": [{"message": "[jsonResponseMalformed] x"}]}))
    with pytest.raises(RefusedItems):
        run.client.append_labels("p", [NewLabel("c1", "{}", "m:1")])
    (record,) = run.records
    assert (record.status, record.outcome, record.attempt) == (200, "RefusedItems", 1)
