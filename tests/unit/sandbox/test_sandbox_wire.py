"""The sandbox over real connections: HTTP, faults that break them, the admin surface."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.nursery import spawn
from worker.sandbox.process import SandboxProcess

VIEWER = {"query": "{ viewer { id email } }"}
CREATE = 'mutation { createProject(data: {title: "t"}) { id } }'


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(spawn=spawn) as process:
        yield process


@pytest.fixture(scope="module")
def connection(sandbox: SandboxProcess) -> Iterator[httpx.Client]:
    with httpx.Client(headers={"Authorization": f"X-API-Key: {sandbox.api_key}"}, timeout=20) as client:
        yield client


@pytest.fixture
def http(sandbox: SandboxProcess, connection: httpx.Client) -> Iterator[httpx.Client]:
    """A client whose faults and switches are taken back."""
    connection.post(f"{sandbox.admin_url}/reset")
    yield connection
    connection.delete(f"{sandbox.admin_url}/faults")
    connection.post(f"{sandbox.admin_url}/config", json={"latency": 0, "calls_per_minute": 0})


def ask(sandbox: SandboxProcess, http: httpx.Client, body: dict[str, Any] = VIEWER, **options: Any) -> httpx.Response:
    return http.post(sandbox.endpoint, json=body, **options)


def fail(sandbox: SandboxProcess, http: httpx.Client, **action: Any) -> None:
    rule = {"operation": "createProject", "times": 1, "action": action}
    assert http.post(f"{sandbox.admin_url}/faults", json=rule).status_code == 200


def projects(sandbox: SandboxProcess, http: httpx.Client) -> int:
    return http.get(f"{sandbox.admin_url}/state").json()["projects"]


def test_a_good_call_is_answered(sandbox: SandboxProcess, http: httpx.Client) -> None:
    assert ask(sandbox, http).json()["data"]["viewer"]["email"].endswith("@sandbox.example")


def test_aliases_fragments_and_named_operations_are_understood(sandbox: SandboxProcess, http: httpx.Client) -> None:
    query = "query one { who: viewer { ...f } } query two { viewer { id } } fragment f on User { mail: email }"
    answer = ask(sandbox, http, {"query": query, "operationName": "one"}).json()
    assert list(answer["data"]) == ["who"]
    assert list(answer["data"]["who"]) == ["mail"]


def test_compressed_bodies_are_read(sandbox: SandboxProcess, http: httpx.Client) -> None:
    body = gzip.compress(json.dumps(VIEWER).encode())
    answer = http.post(sandbox.endpoint, content=body, headers={"Content-Encoding": "gzip"})
    assert "data" in answer.json()


@pytest.mark.parametrize("authorization", ["", "X-API-Key: wrong", "Bearer sandbox-key"])
def test_a_wrong_key_gets_401_as_text(sandbox: SandboxProcess, http: httpx.Client, authorization: str) -> None:
    answer = ask(sandbox, http, headers={"Authorization": authorization})
    assert (answer.status_code, answer.text) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "BAD_REQUEST"),
        (b'"x"', "BAD_REQUEST"),
        (b'{"variables": {}}', "BAD_REQUEST"),
        (b'{"query": "{ viewer { id } }", "variables": []}', "BAD_REQUEST"),
        (b'{"query": "{ viewer { id } }", "variables": {"x": NaN}}', "BAD_REQUEST"),
        (b'{"query": "{ viewer { id "}', "GRAPHQL_PARSE_FAILED"),
        (b'{"query": "{ viewer { nope } }"}', "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "query a { viewer { id } } query b { viewer { id } }"}', "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query": "query ($w: ProjectWhere!) { countProjects(where: $w) }"}', "INTERNAL_SERVER_ERROR"),
    ],
)
def test_what_cannot_be_executed_gets_400_with_a_code(
    sandbox: SandboxProcess, http: httpx.Client, content: bytes, code: str
) -> None:
    answer = http.post(sandbox.endpoint, content=content)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == code
    assert "data" not in answer.json()


def test_a_refusal_is_a_200_with_errors_and_null_data(sandbox: SandboxProcess, http: httpx.Client) -> None:
    query = 'query { data: assets(where: {project: {id: "x"}}, first: 1, skip: 0) { id } }'
    answer = ask(sandbox, http, {"query": query})
    assert answer.status_code == 200
    assert answer.json()["data"] == {"data": None}
    (error,) = answer.json()["errors"]
    assert error["message"].startswith("[noAccessRights]")
    assert error["path"] == ["data"]
    assert error["extensions"]["code"] == "OPERATION_RESOLUTION_FAILURE"


def test_half_a_surrogate_survives_the_way(sandbox: SandboxProcess, http: httpx.Client) -> None:
    query = "mutation ($d: CreateProjectData!) { createProject(data: $d) { title } }"
    body = json.dumps({"query": query, "variables": {"d": {"title": "\ud800"}}})
    answer = http.post(sandbox.endpoint, content=body.encode())
    assert answer.json()["data"]["createProject"]["title"] == "\ud800"


def test_a_status_with_body_and_headers(sandbox: SandboxProcess, http: httpx.Client) -> None:
    before = projects(sandbox, http)
    fail(sandbox, http, kind="status", status=429, body="slow down", headers={"Retry-After": 3})
    answer = ask(sandbox, http, {"query": CREATE})
    assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (429, "slow down", "3")
    assert projects(sandbox, http) == before


@pytest.mark.parametrize(("kind", "status"), [("html", 200), ("html", 502), ("status", 502), ("errors", 500)])
@pytest.mark.parametrize("after", [False, True])
def test_an_answer_may_hide_that_the_operation_ran(
    sandbox: SandboxProcess, http: httpx.Client, kind: str, status: int, after: bool
) -> None:
    before = projects(sandbox, http)
    fail(sandbox, http, kind=kind, status=status, after=after)
    answer = ask(sandbox, http, {"query": CREATE})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/" if kind != "errors" else "application/json")
    assert projects(sandbox, http) - before == after


@pytest.mark.parametrize(("kind", "created"), [("reset", 0), ("lost", 1)])
def test_a_connection_is_reset_before_or_after_the_operation(
    sandbox: SandboxProcess, http: httpx.Client, kind: str, created: int
) -> None:
    before = projects(sandbox, http)
    fail(sandbox, http, kind=kind)
    with pytest.raises(httpx.ReadError):
        ask(sandbox, http, {"query": CREATE})
    assert projects(sandbox, http) - before == created


def test_an_answer_is_cut_in_the_middle(sandbox: SandboxProcess, http: httpx.Client) -> None:
    before = projects(sandbox, http)
    fail(sandbox, http, kind="cut")
    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without"):
        ask(sandbox, http, {"query": CREATE})
    assert projects(sandbox, http) - before == 1


def test_a_truncated_answer_is_whole_http_but_half_json(sandbox: SandboxProcess, http: httpx.Client) -> None:
    fail(sandbox, http, kind="truncated")
    answer = ask(sandbox, http, {"query": CREATE})
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_partial_data_comes_with_an_error(sandbox: SandboxProcess, http: httpx.Client) -> None:
    fail(sandbox, http, kind="partial", message="[someKey] half")
    answer = ask(sandbox, http, {"query": CREATE}).json()
    assert answer["data"]["createProject"]["id"]
    assert [error["message"] for error in answer["errors"]] == ["[someKey] half"]


def test_the_size_of_a_body_is_measured_uncompressed(sandbox: SandboxProcess, http: httpx.Client) -> None:
    rule = {"action": {"kind": "too_large", "bytes": 5000}}
    http.post(f"{sandbox.admin_url}/faults", json=rule)
    assert ask(sandbox, http).status_code == 200
    large = gzip.compress(json.dumps({**VIEWER, "variables": {"x": "y" * 5000}}).encode())
    answer = http.post(sandbox.endpoint, content=large, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, len(large) < 5000) == (413, True)


def test_delayed_calls_do_not_hold_up_others(sandbox: SandboxProcess, http: httpx.Client) -> None:
    fail(sandbox, http, kind="delay", seconds=0.5)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, sandbox, http, {"query": CREATE})
        ask(sandbox, http)
        quick = time.monotonic() - started
        assert slow.result().status_code == 200
    assert quick < 0.5 <= time.monotonic() - started


@pytest.mark.parametrize("after", [False, True])
def test_an_operation_runs_also_when_its_client_is_gone(
    sandbox: SandboxProcess, http: httpx.Client, after: bool
) -> None:
    before = projects(sandbox, http)
    fail(sandbox, http, kind="delay", seconds=0.4, after=after)
    with pytest.raises(httpx.ReadTimeout):
        ask(sandbox, http, {"query": CREATE}, timeout=0.1)
    assert projects(sandbox, http) - before == after
    deadline = time.monotonic() + 10
    while "createProject" not in http.get(f"{sandbox.admin_url}/calls").json()["operations"]:
        assert time.monotonic() < deadline, "the operation never ended"
    assert projects(sandbox, http) - before == 1


def test_latency_is_added_to_every_call(sandbox: SandboxProcess, http: httpx.Client) -> None:
    http.post(f"{sandbox.admin_url}/config", json={"latency": 0.2})
    started = time.monotonic()
    ask(sandbox, http)
    assert time.monotonic() - started >= 0.2


def test_concurrent_writers_lose_nothing(sandbox: SandboxProcess, http: httpx.Client) -> None:
    before = projects(sandbox, http)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(sandbox, http, {"query": CREATE}).json(), range(64)))
    ids = {answer["data"]["createProject"]["id"] for answer in answers}
    assert len(ids) == 64
    assert projects(sandbox, http) - before == 64


def test_a_kept_connection_counts_once_and_is_quick(sandbox: SandboxProcess) -> None:
    with httpx.Client(headers={"Authorization": f"X-API-Key: {sandbox.api_key}"}) as client:
        client.post(f"{sandbox.admin_url}/reset")
        ask(sandbox, client)
        started = time.monotonic()
        for _ in range(20):
            ask(sandbox, client)
        # Delayed acknowledgements would cost 40 ms for each call.
        assert time.monotonic() - started < 0.7
    assert httpx.get(f"{sandbox.admin_url}/calls").json()["connections"] == 1


def test_connections_are_counted_when_they_carry_calls(sandbox: SandboxProcess, http: httpx.Client) -> None:
    for _ in range(3):
        with httpx.Client(headers=http.headers) as client:
            ask(sandbox, client)
            ask(sandbox, client)
    calls = http.get(f"{sandbox.admin_url}/calls").json()
    assert (calls["connections"], calls["operations"]["viewer"]["count"]) == (3, 6)


def test_faults_are_listed_with_their_counts_and_dropped(sandbox: SandboxProcess, http: httpx.Client) -> None:
    fail(sandbox, http, kind="html")
    ask(sandbox, http, {"query": CREATE})
    (rule,) = http.get(f"{sandbox.admin_url}/faults").json()
    assert (rule["matched"], rule["applied"]) == (1, 1)
    assert http.delete(f"{sandbox.admin_url}/faults").json() == []
    assert http.get(f"{sandbox.admin_url}/faults").json() == []


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("faults", {"action": {"kind": "boom"}}, "boom"),
        ("config", {"read_lag": -1}, "read_lag"),
        ("config", {"port": 1}, "no such switch"),
        ("config", {"batches": "some"}, "atomic"),
        ("config", [], "object"),
        ("keys", {"key": "k", "expiry": "tomorrow"}, "expiry"),
        ("keys", {"key": "", "expiry": 1}, "expiry"),
    ],
)
def test_wrong_admin_requests_are_told_why(
    sandbox: SandboxProcess, http: httpx.Client, path: str, content: Any, words: str
) -> None:
    answer = http.post(f"{sandbox.admin_url}/{path}", json=content)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


@pytest.mark.parametrize("path", ["state?project=x", "queue?project=x"])
def test_reports_on_an_unknown_project_are_404(sandbox: SandboxProcess, http: httpx.Client, path: str) -> None:
    assert http.get(f"{sandbox.admin_url}/{path}").status_code == 404


def test_the_version_belongs_to_the_schema(sandbox: SandboxProcess, http: httpx.Client) -> None:
    version = http.get(sandbox.endpoint.replace("/graphql", "/version")).json()["version"]
    assert version.startswith("sandbox-")
    with SandboxProcess(spawn=spawn) as twin:
        assert http.get(twin.endpoint.replace("/graphql", "/version")).json()["version"] == version
