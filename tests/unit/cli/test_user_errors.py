"""Whatever a user gets wrong ends a command with a plain line and an exit code: in every command, no traceback."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from worker.cli import COMMANDS, main
from worker.environment import connections
from worker.settings.tree import environment_names

NOBODY = 65534
DEAD_REDIS = "redis://127.0.0.1:9/0"
DEAD_KILI = "http://127.0.0.1:9/api/label/v2/graphql"

FILES: dict[str, bytes] = {
    "binary.json": b"\xff\xfe\x00junk",
    "broken.json": b'{"a": ',
    "number.json": b"7",
    "list.json": b"[[1]]",
    "nested.json": b"[" * 3000,
    "object.json": b'{"no": "such"}',
    "cases.json": b'{"cases": [{"name": 1, "message": 2, "expect": 3}]}',
    "nameless.json": b'{"cases": [{"name": "a", "message": {}, "expect": {"band": 1}}]}',
    "binary.toml": b"\xff\xfe",
    "broken.toml": b"= 3",
    "unknown.toml": b'["*"]\nno_such_key = 1\n[x]\nformat = 3\n',
    "broken.yaml": b"a: [",
    "list.yaml": b"- 1",
    "binary.yaml": b"\x00\x01",
    "policy.txt": b"rules = []",
    "empty.json": b"",
}
READING = [
    ["explain", "{}"],
    ["explain", "--interface", "{}", "good.json"],
    ["explain", "--mapping", "{}", "good.json"],
    ["formats", "list", "--mapping", "{}"],
    ["formats", "test", "{}"],
    ["policy", "test", "{}"],
    ["policy", "test", "good-cases.json", "--policy", "{}"],
    ["policy", "simulate", "{}"],
    ["policy", "simulate", "good.json", "--policy", "{}"],
    ["policy", "show", "--policy", "{}"],
    ["sandbox", "--port", "0", "--faults", "{}"],
]
"""Commands that read a file; what they read is {}. All of them fail on each of FILES, or refuse it."""

WRITING = [
    ["report", "--project", "p", "--html", "{}"],
    ["report", "--project", "p", "--export", "{}"],
    ["evaluate", "good.json", "--project", "p", "--model", "m:1", "--html", "{}"],
    ["policy", "simulate", "good.json", "--plot", "{}"],
    ["demo", "--html", "{}"],
    ["sandbox", "--port", "0", "--port-file", "{}"],
]
SERVED = [
    ["check"],
    ["check", "--project", "no-such"],
    ["dead-letters", "list"],
    ["dead-letters", "show", "1-1"],
    ["dead-letters", "replay", "--all"],
    ["dead-letters", "drop", "--all", "--yes"],
    ["evaluate", "good.json", "--project", "p", "--model", "m:1"],
    ["policy", "show"],
    ["policy", "simulate", "good.json", "--learned"],
    ["publish", "good.json"],
    ["publish", "good.json", "--via", "celery"],
    ["report"],
    ["report", "--project", "p"],
    ["start"],
    ["status"],
    ["waiting", "list"],
    ["waiting", "retry", "p"],
    ["waiting", "dead-letter", "p", "--yes"],
    ["waiting", "drop", "p", "--yes"],
]
"""Commands that need Redis or Kili, which are away."""

WORDS = [
    ["bench", "--section", "no-such"],
    ["bench", "--section", "micro", "--output", "good.json"],
    ["bench", "--section", "micro", "--output", "good.json/folder"],
    ["serve", "surplus"],
    ["dead-letters", "show", "bogus"],
    ["dead-letters", "replay", "bogus"],
    ["dead-letters", "drop", "bogus", "--yes"],
    ["dead-letters", "replay"],
    ["evaluate", "good.json", "--project", "p", "--model", "nameless"],
    ["evaluate", "no-such", "--project", "p", "--model", "m:1"],
    ["evaluate", "folder", "--project", "p", "--model", "m:1"],
    ["explain", "good.json", "--interface", "interface.json", "--input-type", "NO_SUCH"],
    ["explain", "-", "--interface", "-"],
    ["health", "--file", "no-such"],
    ["health", "--file", "."],
    ["health", "--file", "binary.json"],
    ["policy", "simulate", "empty.json"],
    ["policy", "simulate", "good.json", "--days", "-1"],
    ["publish", "no-such"],
    ["publish", "good.json", "--chunk", "0"],
    ["redis", "--folder", "good.json"],
    ["redis", "--folder", "good.json/folder"],
    ["redis", "--port", "0"],
    ["report", "--days", "nan", "--project", "p"],
    ["report", "--days", "x"],
    ["sandbox", "--files", "no-such"],
    ["sandbox", "--host", "203.0.113.1"],
    ["sandbox", "--host", "203.0.113.1", "--expose"],
    ["sandbox", "--port", "70000"],
    ["sandbox", "--port", "0", "--api-key", ""],
    ["exporter", "--listen", "nowhere"],
    ["exporter", "--listen", "203.0.113.1:9465"],
    ["exporter", "--listen", "127.0.0.1:70000"],
    ["exporter", "--rate-seconds", "0"],
    ["webhook", "--host", "203.0.113.1"],
    ["webhook", "--port", "x"],
    ["waiting", "drop"],
    ["no-such-command"],
    ["status", "--no-such-option"],
    ["status", "--format", "xml"],
]
SETTINGS = {
    "WORKER_HTTP__LISTEN": ["9464", "h:port", "h:70000", "h:9-8"],
    "REDIS_URL": ["http://h", "redis://h:port", "redis://h/x", "redis://:pa/ss@h:1", "redis://h?no=1", "unix:", "h:1"],
    "CELERY_BROKER_URL": ["nonsense", "no-such://h", "amqp://h:port", "redis://h?no=1"],
    "KILI_API_KEY_FILE": ["/no/such", "/", "binary.json"],
    "KILI_API_ENDPOINT": ["kili", "http://[", "http://h:port/"],
    "WORKER_PROJECTS_FILE": ["/no/such", "/", "binary.toml", "broken.toml", "unknown.toml"],
    "WORKER_REVIEW__POLICY": ["/no/such", "/", "binary.toml", "broken.toml", "unknown.toml", "policy.txt"],
    "WORKER_REVIEW__THRESHOLD": ["2", "x"],
    "WORKER_REVIEW": ["junk", "[]"],
    "WORKER_INTAKE__PATH_ROOTS": ["[1", "[1]"],
    "WORKER_INTAKE__RESULT_PLACES": ["[1", "ftp://h/"],
    "WORKER_DELIVERY__LINGER_SECOND": ["1"],
    "WORKER_LOG__LEVEL": ["LOUD"],
    "WORKER_FEEDBACK__WEBHOOK_SHAPE": ["x"],
}
MESSAGE = (
    b'{"external_id": "a", "project_id": "p", "model": {"name": "m", "version": "1"},'
    b' "output": {"scores": {"RED": 0.9, "BLUE": 0.1}}, "predicted_at": "2026-01-01T00:00:00Z"}\n'
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with good and bad files; Redis and Kili are away."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "good.json").write_bytes(MESSAGE)
    (tmp_path / "good-cases.json").write_bytes(b'{"cases": []}')
    (tmp_path / "interface.json").write_bytes(b'{"jobs": {}}')
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in environment_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REDIS_URL", DEAD_REDIS)
    monkeypatch.setenv("KILI_API_ENDPOINT", DEAD_KILI)
    monkeypatch.setenv("KILI_API_KEY", "key")
    monkeypatch.setenv("WORKER_KILI__ATTEMPTS", "1")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), input=b"")


def is_refused(*arguments: str) -> str:
    """Call, and hold against what a user can expect; the words."""
    found = call(*arguments)
    shown = f"{' '.join(arguments)}\n{found.output}"
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise AssertionError(f"a traceback: {shown}") from found.exception
    assert found.exit_code in (1, 2), shown
    assert "Traceback" not in found.output, shown
    assert found.output.strip(), shown
    assert all(len(line) < 400 for line in found.output.splitlines()), shown
    return found.output


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("name", [*FILES, "no-such.json", "no-such.toml", "folder"])
def test_a_file_that_cannot_be_used_is_refused(arguments: list[str], name: str) -> None:
    is_refused(*(word.format(name) for word in arguments))


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_file_that_may_not_be_read_is_refused(arguments: list[str], tmp_path: Path) -> None:
    words = [word.format("locked.json") for word in arguments]
    Path("locked.json").touch(0o000)
    call(*words)  # imports what the command needs, which an ordinary user might not reach
    with an_ordinary_user(tmp_path):
        told = is_refused(*words)
    assert "Permission denied" in told or "not readable" in told


@contextmanager
def an_ordinary_user(folder: Path) -> Iterator[None]:
    """For root, who may read everything: be nobody for a while, who may use what is open to all in the folder."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    folder.chmod(0o755)
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
@pytest.mark.parametrize("place", ["/no/such/folder/file", "folder", "good.json/file"])
def test_a_place_that_cannot_be_written_to_is_refused(arguments: list[str], place: str) -> None:
    is_refused(*(word.format(place) for word in arguments))


@pytest.mark.parametrize("arguments", SERVED, ids=" ".join)
def test_a_server_that_is_away_is_said(arguments: list[str]) -> None:
    is_refused(*arguments)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=str)
def test_the_policy_is_shown_although_redis_is_away(form: list[str]) -> None:
    told = is_refused("policy", "show", *form)
    assert "capacity" in told
    assert "Redis cannot be asked for its cut" in told


class Silent:
    """Takes connections, as many servers do that are no Redis, and says nothing or what an HTTP server says."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                self._taken.append(taken)
                taken.sendall(self._answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing alone does not
        for one in (self._listener, *self._taken):
            one.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["says nothing", "speaks HTTP"])
@pytest.mark.parametrize("arguments", [one for one in SERVED if one[0] != "evaluate"], ids=" ".join)
def test_what_is_no_redis_is_said_soon_and_under_the_variable_that_names_it(
    arguments: list[str], answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what limits a command waits: the greeting's alone, not those of every command, again and again."""
    monkeypatch.setattr(connections, "GREETING_SECONDS", 0.1)
    server = Silent(answer)
    monkeypatch.setenv("REDIS_URL", server.url)
    begun = time.monotonic()
    try:
        told = is_refused(*arguments)
    finally:
        server.close()
    assert time.monotonic() - begun < connections.SOCKET_SECONDS
    assert "REDIS_URL" in told


def test_the_greeting_is_short() -> None:
    assert connections.GREETING_SECONDS <= 4


@pytest.mark.parametrize("arguments", WORDS, ids=" ".join)
def test_words_that_mean_nothing_are_refused(arguments: list[str]) -> None:
    is_refused(*arguments)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SETTINGS.items() for value in values], ids=str
)
def test_a_wrong_setting_is_named_as_it_was_set(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    told = is_refused("check")
    assert name.removesuffix("_FILE") in told or value in told
    assert "pa/ss" not in told


@pytest.mark.parametrize("arguments", [["explain", "good.json"], ["status"], ["start"]], ids=" ".join)
@pytest.mark.parametrize(("name", "value"), [(name, values[-1]) for name, values in SETTINGS.items()], ids=str)
def test_no_command_shows_a_traceback_for_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    found = call(*arguments)
    assert found.exception is None or isinstance(found.exception, SystemExit)


def test_a_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (["redis"], ["sandbox"], ["webhook"]):
            assert port in is_refused(*arguments, "--port", port)
        assert port in is_refused("exporter", "--listen", f"127.0.0.1:{port}")
        monkeypatch.setenv("WORKER_SERVE__PORT", port)
        monkeypatch.setenv("WORKER_SERVE__HOST", "127.0.0.1")
        assert port in is_refused("serve")


def test_a_command_that_cannot_listen_leaves_signals_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("WORKER_SERVE__PORT", port)
        monkeypatch.setenv("WORKER_SERVE__HOST", "127.0.0.1")
        for arguments in (
            ["serve"],
            *([one, "--port", port] for one in ("redis", "webhook")),
            ["exporter", "--listen", f"127.0.0.1:{port}"],
        ):
            assert port in is_refused(*arguments)
    assert {number: signal.getsignal(number) for number in before} == before


def test_every_command_and_every_file_that_it_takes_has_its_cases() -> None:
    tried = list(itertools.chain(READING, WRITING, SERVED, WORDS))
    assert set(COMMANDS) - {arguments[0] for arguments in tried} == {"schema"}, "schema reads nothing and asks nobody"
    for words, parameter in _files():
        mine = [arguments for arguments in tried if arguments[: len(words)] == words]
        option = parameter.opts[0] if isinstance(parameter, click.Option) else None
        if option:
            assert any(option in arguments for arguments in mine), f"{words}: {option}"
        else:
            assert any(_names_a_file(arguments[len(words) :]) for arguments in mine), words


def _names_a_file(words: list[str]) -> bool:
    return any(word in ("{}", "no-such", "folder") for word in words)


def _files() -> Iterator[tuple[list[str], click.Parameter]]:
    """The parameters of every command that name a file."""
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        for words, one in (
            [([name, sub], each) for sub, each in command.commands.items()]
            if isinstance(command, click.Group)
            else [([name], command)]
        ):
            for parameter in one.params:
                if isinstance(parameter.type, click.File | click.Path):
                    yield words, parameter
