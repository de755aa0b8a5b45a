"""The client against a real HTTP server: connections, resets and time."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from worker.kili.budget import CallRecord
from worker.kili.client import KiliClient
from worker.kili.errors import ConnectFailed, LocalFault, TimedOut, UnknownOutcome
from worker.kili.retry import RetryPolicy
from worker.kili.transport import KiliAccess

Behaviour = Callable[["Handler"], None]
ANSWER = json.dumps({"data": {"data": {"id": "u"}}}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.requests += 1
        script = self.server.script
        behaviour = script.pop(0) if script else answer
        behaviour(self)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0
        self.requests = 0
        self.script: list[Behaviour] = []
        self.released = threading.Event()
        self.closed_one = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/graphql"

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        super().shutdown_request(request)
        self.closed_one.set()

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def answer(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(ANSWER)))
    handler.end_headers()
    handler.wfile.write(ANSWER)


def answer_and_hang_up(handler: Handler) -> None:
    answer(handler)
    handler.close_connection = True


def reset(handler: Handler) -> None:
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def cut_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(ANSWER)))
    handler.end_headers()
    handler.wfile.write(ANSWER[:10])
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def hang(handler: Handler) -> None:
    handler.server.released.wait(10)
    handler.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., KiliClient]]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clients: list[KiliClient] = []

    def build(attempts: int = 1, timeout: float = 10.0, records: list[CallRecord] | None = None) -> KiliClient:
        client = KiliClient(
            KiliAccess(server.url, "key", timeout=timeout),
            retry=RetryPolicy(attempts=attempts, base=0.01),
            observe=None if records is None else records.append,
        )
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close()


def test_many_calls_use_one_connection(server: Server, connect: Callable[..., KiliClient]) -> None:
    client = connect()
    for _ in range(50):
        assert client.viewer() == {"id": "u"}
    assert (server.requests, server.connections) == (50, 1)


def test_threads_share_a_bounded_pool_of_connections(server: Server, connect: Callable[..., KiliClient]) -> None:
    client = connect()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.viewer(), range(200)))
    assert answers == [{"id": "u"}] * 200
    assert server.connections <= 16


@pytest.mark.parametrize("fault", [reset, cut_off])
def test_a_connection_lost_after_sending_leaves_the_outcome_unknown(
    fault: Behaviour, server: Server, connect: Callable[..., KiliClient]
) -> None:
    server.script = [fault]
    with pytest.raises(UnknownOutcome):
        connect().viewer()
    assert server.requests == 1


@pytest.mark.parametrize("fault", [reset, cut_off])
def test_a_lost_connection_is_replaced(fault: Behaviour, server: Server, connect: Callable[..., KiliClient]) -> None:
    server.script = [answer, fault]
    records: list[CallRecord] = []
    client = connect(attempts=2, records=records)
    assert client.viewer() == client.viewer() == {"id": "u"}
    assert [record.outcome for record in records] == ["ok", "UnknownOutcome", "ok"]


def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(
    server: Server, connect: Callable[..., KiliClient]
) -> None:
    server.script = [answer_and_hang_up]
    client = connect()
    client.viewer()
    assert server.closed_one.wait(5)
    assert client.viewer() == {"id": "u"}
    assert server.connections == 2


def test_a_server_that_hangs_times_out(server: Server, connect: Callable[..., KiliClient]) -> None:
    server.script = [hang]
    with pytest.raises(TimedOut):
        connect(timeout=0.2).viewer()


def test_a_server_that_is_not_there_was_certainly_not_reached(connect: Callable[..., KiliClient]) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        client = KiliClient(KiliAccess(f"http://127.0.0.1:{port}/", "key"), retry=RetryPolicy(attempts=1))
        with pytest.raises(ConnectFailed):
            client.viewer()
        client.close()


def test_a_proxy_of_the_environment_is_used_for_every_call(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(handler: Handler) -> None:
        asked.append(f"{handler.path} for {handler.headers['host']}")
        answer(handler)

    server.script = [note, note]
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/graphql"))
    client = KiliClient(KiliAccess("http://kili.example.com/graphql", "key"), retry=RetryPolicy(attempts=1))
    client.viewer()
    client.viewer()
    client.close()
    assert asked == ["http://kili.example.com/graphql for kili.example.com"] * 2


def test_a_name_that_does_not_resolve_is_our_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    client = KiliClient(KiliAccess("http://nowhere.invalid/", "key"), retry=RetryPolicy(attempts=1))
    with pytest.raises(LocalFault):
        client.viewer()
    client.close()


def test_a_forked_child_opens_its_own_connection_and_leaves_the_parents_alone(
    server: Server, connect: Callable[..., KiliClient]
) -> None:
    client = connect()
    client.viewer()
    child = os.fork()
    if child == 0:
        os._exit(0 if client.viewer() == {"id": "u"} else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert client.viewer() == {"id": "u"}
    assert (server.requests, server.connections) == (3, 2)
