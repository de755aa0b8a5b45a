"""Results that a message points to are read from allowed places only, within limits, without following anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from worker.contract import ReadingLimits
from worker.projects.outputs import UnreadableOutput
from worker.projects.results import Place, ResultPlaces, ResultReader, ResultUnavailable

LIMITS = ReadingLimits(max_bytes=100, max_depth=4)
Handler = Callable[[httpx.Request], httpx.Response]


def reader(*rules: str, handler: Handler | None = None, **options: Any) -> ResultReader:
    http = httpx.Client(transport=httpx.MockTransport(handler or (lambda _: httpx.Response(200, json=[1]))))
    return ResultReader(ResultPlaces(rules), limits=LIMITS, http=http, **options)


def refused(call: Callable[[], object]) -> UnreadableOutput:
    with pytest.raises(UnreadableOutput) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("rule", "location", "address"),
    [
        ("https://host/out/", "https://host/out/a/b.json", "https://host/out/a/b.json"),
        ("https://host/out/", "https://host/out/a.json?version=2", "https://host/out/a.json?version=2"),
        ("s3://bucket/out/=https://host/b/", "s3://bucket/out/a b#1.json", "https://host/b/a%20b%231.json"),
        ("s3://bucket/=file:///srv/results/", "s3://bucket/x/y.out", "file:///srv/results/x/y.out"),
        ("file:///srv/results/", "file:///srv/results/y.out", "file:///srv/results/y.out"),
    ],
)
def test_a_location_below_an_allowed_place_is_read_there(rule: str, location: str, address: str) -> None:
    assert ResultPlaces(["https://other/", rule]).address(location) == address


@pytest.mark.parametrize(
    "location",
    [
        *("https://host/elsewhere/a.json", "https://host/out/", "https://host/out", "https://host.evil/out/a.json"),
        *("http://host/out/a.json", "https://user@host/out/a.json", "s3://bucket/a.json", "/etc/passwd", ""),
        *("https://host/out/../secret.json", "https://host/out/%2e%2e/secret", "https://host/out/%252e%252e/secret"),
        *("https://host/out/..\\secret", "https://host/out/a%00.json"),
    ],
)
def test_any_other_location_is_refused_by_the_name_of_the_setting(location: str) -> None:
    error = refused(lambda: ResultPlaces(["https://host/out/"]).address(location))
    assert (error.cause, error.field) == ("result_place_refused", "output.payload")
    assert "WORKER_INTAKE__RESULT_PLACES" in error.fix
    assert location in error.problem


def test_without_places_nothing_is_read() -> None:
    assert refused(lambda: reader().read("https://host/a.json")).cause == "result_place_refused"


@pytest.mark.parametrize(
    "rule",
    [
        *(
            "https://host",
            "https://host/out",
            "host/out/",
            "s3://bucket/",
            "s3://bucket/=https://host",
            "=https://host/",
        ),
        *("s3://bucket=https://host/", "s3://bucket/=ftp://host/", "s3://bucket/=https:///", "file://host/folder/", ""),
    ],
)
def test_a_place_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match=r"must be|cannot be read from"):
        Place.parse(rule)


def test_a_result_is_json_with_its_size() -> None:
    result = reader("https://host/", handler=lambda _: httpx.Response(200, json={"a": 1})).read("https://host/x")
    assert (result.value, result.size) == ({"a": 1}, len(httpx.Response(200, json={"a": 1}).content))


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_waited_for(status: int) -> None:
    with pytest.raises(ResultUnavailable, match=f"the server answered {status}"):
        reader("https://host/", handler=lambda _: httpx.Response(status)).read("https://host/x")


def test_a_place_that_cannot_be_reached_is_waited_for() -> None:
    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(ResultUnavailable, match="ConnectError: no route"):
        reader("https://host/", handler=away).read("https://host/x")


def test_a_body_that_trickles_is_not_waited_for_without_end() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            yield b" "

    answer = httpx.Response(200, content=trickle())
    with pytest.raises(ResultUnavailable, match="not read within 0 s"):
        reader("https://host/", handler=lambda _: answer, timeout=0).read("https://host/x")


@pytest.mark.parametrize("status", [204, 301, 302, 307, 400, 404, 410])
def test_what_will_not_pass_is_final_and_redirects_are_not_followed(status: int) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(status, headers={"location": "https://host/elsewhere"})

    error = refused(lambda: reader("https://host/", handler=handler).read("https://host/x"))
    assert (error.cause, len(asked)) == ("result_missing", 1)
    assert f"the server answered {status}" in error.problem


def test_the_default_client_follows_no_redirects() -> None:
    assert not ResultReader(ResultPlaces(), limits=LIMITS)._http.follow_redirects


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"[" + b"1," * 100 + b"1]", "result_too_large"),
        (b"not json", "result_unreadable"),
        (b"[NaN]", "result_unreadable"),
        (b"[[[[[[1]]]]]]", "result_unreadable"),
    ],
)
def test_a_result_that_cannot_be_used_is_refused(body: bytes, cause: str, tmp_path: Path) -> None:
    handler: Handler = lambda _: httpx.Response(200, content=body)  # noqa: E731
    error = refused(lambda: reader("https://host/", handler=handler).read("https://host/x"))
    assert error.cause == cause
    (tmp_path / "x").write_bytes(body)
    folder = f"file://{tmp_path}/"
    assert refused(lambda: reader(folder).read(f"{folder}x")).cause == cause


def test_files_are_read_below_allowed_folders(tmp_path: Path) -> None:
    allowed = tmp_path / "results"
    (allowed / "a b").mkdir(parents=True)
    (allowed / "a b" / "x.out").write_text("[0.1, 0.9]", "utf-8")
    (tmp_path / "secret").write_text("[]", "utf-8")
    (allowed / "link").symlink_to(tmp_path / "secret")
    place = f"file://{allowed}/"
    assert reader(f"s3://bucket/={place}").read("s3://bucket/a b/x.out").value == [0.1, 0.9]
    assert reader(place).read(f"{place}a%20b/x.out").value == [0.1, 0.9]
    assert refused(lambda: reader(place).read(f"{place}link")).cause == "result_place_refused"
    assert refused(lambda: reader(place).read(f"{place}absent")).cause == "result_missing"
    assert refused(lambda: reader(place).read(f"{place}a%20b")).cause == "result_missing"
