"""The how-to pages of the sources, typed line by line as a user does, against each source's real server.

Only addresses and the project differ from the page. What the pages show and is not typed here: the installation (its
extras are compared with the package's), and the InferenceService of KServe's page, which needs Kubernetes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import amqp
import boto3
import pytest
from kombu import Connection

from tests.awaiting import awaited
from tests.conformance.sources.rabbitmq_server import shared_server
from tests.conformance.sources.worlds import Http, Kafka, RabbitMq, Sqs, World, opened
from tests.faults.house import predictions

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "how-to"
PROJECT = "clx0000000000000000000000"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AT_HAND = f'prediction-worker() {{ exec {shlex.quote(sys.executable)} -m worker "$@"; }}'
"""A function of the shell: the line that uses it stands as on the page."""


def blocks(page: str, language: str) -> list[str]:
    return [text for name, text in BLOCK.findall((FOLDER / page).read_text("utf-8")) if name == language]


def commands(text: str) -> Iterator[str]:
    """The commands of a block: lines that a quote, a pipe or a backslash continues are one."""
    held = ""
    for line in text.splitlines():
        held = f"{held}\n{line}" if held else line
        try:
            words = shlex.split(held, comments=True)
        except ValueError:
            continue
        if words and not held.endswith(("\\", "|")):
            yield held
        if not held.endswith(("\\", "|")):
            held = ""


class Terminal:
    """Types commands in a folder.

    Args:
        folder: the working directory.
        environment: of the commands.
        instead: what stands on the pages, and what is typed in its place.
        prelude: typed before each command.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], instead: Mapping[str, str], prelude: str = ""
    ) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
        self._instead = instead
        self._exports = [AT_HAND, *([prelude] if prelude else [])]
        self._running: list[subprocess.Popen[bytes]] = []

    def type(self, text: str, *, is_ready: Callable[[], object] | None = None) -> str:
        """Type a block; what it prints. A command that goes on is left running once it is ready."""
        found = ""
        for command in commands(self._here(text)):
            if command.startswith("pip "):
                assert extras_in(command) <= extras(), command
            elif command.startswith("export "):
                self._exports.append(command)
            elif re.match(r"prediction-worker (start|serve)\b", command):
                self._leave_running(command)
                awaited(is_ready or (lambda: True), f"ready: {command}")
            else:
                found += self._done(command)
        return found

    def run(self, *words: str) -> str:
        """Run a program of the page's language."""
        done = subprocess.run(words, cwd=self._folder, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(self._here(text))

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def _here(self, text: str) -> str:
        for shown, typed in self._instead.items():
            text = text.replace(shown, typed)
        return text

    def _script(self, command: str) -> list[str]:
        return ["bash", "-c", "\n".join([*self._exports, command])]

    def _leave_running(self, command: str) -> None:
        with (self._folder / "running.log").open("ab") as log:
            one = subprocess.Popen(
                self._script(command), cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        self._running.append(one)

    def _done(self, command: str) -> str:
        done = subprocess.run(
            self._script(command),
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def extras_in(command: str) -> set[str]:
    return set(",".join(re.findall(r"\.\[([\w,-]+)\]", command)).split(","))


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@contextmanager
def at(world: World, folder: Path, instead: Mapping[str, str], prelude: str = "", **more: str) -> Iterator[Terminal]:
    """A terminal in which nothing of the source is set but what the page sets."""
    own = {name for name in world.settings() if name.startswith("WORKER_")}
    environment = {name: value for name, value in world.house.environment.items() if name not in own}
    environment |= {"WORKER_HEARTBEAT_FILE": str(folder / "beat"), **more}
    terminal = Terminal(folder, environment, {**instead, PROJECT: world.project}, prelude)
    try:
        yield terminal
    except BaseException:
        log = folder / "running.log"
        print(log.read_text("utf-8", "replace")[-3000:] if log.exists() else "nothing ran")
        raise
    finally:
        terminal.close()


def write_predictions(world: World, folder: Path, count: int) -> None:
    """The page's predictions.jsonl, which the judge asks for."""
    messages = predictions(world.project, count)
    (folder / "predictions.jsonl").write_text("".join(f"{json.dumps(message)}\n" for message in messages))
    world.house.published.count += count
    for message in messages:
        world.house.published.note(message)


def has_queue(url: str, queue: str) -> bool:
    try:
        with Connection(url) as connection:
            connection.default_channel.queue_declare(queue, passive=True)
    except amqp.NotFound:
        return False
    return True


def skipped(kind: type[World]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skip(reason=kind.absent)] if kind.absent else []


def as_typed(world: World, page: str, folder: Path, instead: Mapping[str, str], **more: Any) -> None:
    """Type every line of a page; then everything that it sent is in Kili."""
    is_ready = more.pop("is_ready", (folder / "beat").exists)
    write_predictions(world, folder, 12)
    with at(world, folder, instead, **more) as terminal:
        told = "".join(terminal.type(text, is_ready=is_ready) for text in blocks(page, "sh"))
        assert "12 predictions sent" in told
        assert f"ok       WORKER_SOURCES: celery, stream, {world.name}" in told
        world.house.await_settled()
        world.house.judge()


@pytest.mark.parametrize("kind", [pytest.param(Kafka, marks=skipped(Kafka))])
def test_the_page_on_kafka(kind: type[Kafka], tmp_path: Path) -> None:
    with opened(kind) as world:
        assert isinstance(world, Kafka)
        as_typed(world, "kafka.md", tmp_path, {"localhost:9092": f"127.0.0.1:{world.port}"})


@pytest.mark.parametrize("kind", [pytest.param(RabbitMq, marks=skipped(RabbitMq))])
def test_the_page_on_rabbitmq(kind: type[RabbitMq], tmp_path: Path) -> None:
    with opened(kind) as world:
        assert isinstance(world, RabbitMq)
        url = f"amqp://guest:guest@127.0.0.1:{shared_server().port}//"
        try:
            as_typed(
                world,
                "rabbitmq.md",
                tmp_path,
                {"amqp://guest:guest@localhost//": url},
                is_ready=lambda: has_queue(url, "predictions.json"),
            )
        finally:
            with Connection(url) as connection, suppress(amqp.AMQPError):
                connection.default_channel.queue_delete("predictions.json")


QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/predictions"


def test_the_page_on_sqs(tmp_path: Path) -> None:
    with opened(Sqs) as world:
        assert isinstance(world, Sqs)
        as_typed(world, "sqs.md", tmp_path, {QUEUE: world.url}, WORKER_SQS__ENDPOINT_URL=world.endpoint)


@pytest.mark.skipif(not shutil.which("aws"), reason="the page on SageMaker needs aws, the command")
def test_the_page_on_sagemaker(tmp_path: Path) -> None:
    with opened(Sqs) as world:
        assert isinstance(world, Sqs)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        world.client.delete_queue(QueueUrl=world.url)
        typed = f'aws() {{ command aws --endpoint-url {world.endpoint} "$@"; }}'
        more = {
            "WORKER_SQS__ENDPOINT_URL": world.endpoint,
            "AWS_DEFAULT_REGION": world.region,
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        with at(world, tmp_path, {QUEUE: world.url}, typed, **more) as terminal:
            told = "".join(
                terminal.type(text, is_ready=(tmp_path / "beat").exists) for text in blocks("sagemaker.md", "sh")
            )
            assert '"InferenceId": "cam-3-000123.jpg"' in told
            sns = boto3.client("sns", endpoint_url=world.endpoint, region_name=world.region, **keys)
            notice = {
                "invocationStatus": "Completed",
                "inferenceId": "cam-3-000123.jpg",
                "eventTime": "2026-11-23T10:15:00Z",
                "requestParameters": {"endpointName": "cars"},
                "responseBody": {"content": {"scores": {"RED": 0.8, "BLUE": 0.2}}},
            }
            topic = f"arn:aws:sns:{world.region}:123456789012:predictions"
            sns.publish(TopicArn=topic, Message=json.dumps(notice))
            world.house.await_that(lambda: world.house.ledger().received == 1, "the notice is received")
            world.house.is_sound = True


def served(world: World) -> Callable[[], object]:
    assert isinstance(world, Http)
    return lambda: world.status("/livez") == 200


def address(world: World) -> dict[str, str]:
    assert isinstance(world, Http)
    return {"localhost:8080": f"127.0.0.1:{world.port}"}


def port(world: World) -> dict[str, str]:
    assert isinstance(world, Http)
    return {"WORKER_SERVE__PORT": str(world.port)}


@pytest.mark.parametrize("language", ["sh", "js", "go"])
def test_the_page_on_http(language: str, tmp_path: Path) -> None:
    program = {"sh": "curl", "js": "node", "go": "go"}[language]
    if not shutil.which(program):
        pytest.skip(f"the page on HTTP needs {program}")
    with opened(Http) as world, at(world, tmp_path, address(world), **port(world)) as terminal:
        first, *others = blocks("http.md", "sh")
        terminal.type(first, is_ready=served(world))
        world.house.worker()
        if language == "sh":
            write_predictions(world, tmp_path, 12)
            world.house.published.count += 1  # the message of the page itself, about an asset that nobody judges
            told = "".join(terminal.type(text) for text in others)
            assert told.count('"new"') == 13
        else:
            (text,) = blocks("http.md", language)
            terminal.write(f"send.{language.replace('js', 'mjs')}", text)
            run = ["node", "send.mjs"] if language == "js" else ["go", "run", "send.go"]
            assert terminal.run(*run).startswith("202")
            world.house.published.count += 1
        world.house.await_that(lambda: sum(outcomes(world)) == world.house.published.count, "all have an outcome")
        assert outcomes(world) == (world.house.published.count, 0)
        world.house.is_sound = True


def outcomes(world: World) -> tuple[int, int]:
    """Delivered, dead letters."""
    ledger = world.house.ledger()
    return ledger.delivered, ledger.dead


@pytest.mark.skipif(not shutil.which("curl"), reason="the page on KServe needs curl")
def test_the_page_on_kserve(tmp_path: Path) -> None:
    with opened(Http) as world, at(world, tmp_path, address(world), **port(world)) as terminal:
        told = "".join(terminal.type(text, is_ready=served(world)) for text in blocks("kserve.md", "sh"))
        assert re.findall(r'"states":\["(\w+)"\]', told) == ["waiting", "joined"]
        world.house.is_sound = True
