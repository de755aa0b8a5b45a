"""Lua scripts that say in the server's log which of their lines ran, and an ear for the commands that they send."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import redis

from tests.awaiting import PATIENCE
from worker.environment.connections import WorkerScript

SAY = "local mark = redis.log local function ran(line) mark(3, 'ran ' .. line) end\n"
NO_STATEMENT = re.compile(r"\s*(--|end\b|else|until|['\"})]|$)")
GOES_ON = re.compile(r"([,({]|\band|\bor|=)\s*$")
BRANCH_WITHIN = re.compile(r"^(\s*if .*\bthen )(.*\bend)(.*)$")


def marked_script_of(client: redis.Redis, package: str, name: str) -> WorkerScript:
    """In the place of ``script_of``."""
    prelude = resources.files("worker.environment").joinpath("prelude.lua").read_text("utf-8")
    return WorkerScript(client, SAY + prelude + marked(name, text_of(package, name)))


def text_of(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")


def marked(name: str, text: str) -> str:
    """The script with a call of ``ran`` before each statement, and in each branch that stands on the same line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if number in statements(text):
            inner = BRANCH_WITHIN.sub(rf"\1ran('{name}:{number}+') \2\3", line)
            line = f"ran('{name}:{number}') {inner}"
        found.append(line)
    return "\n".join(found)


def statements(text: str) -> set[int]:
    """The lines on which a statement begins."""
    found, before = set(), ""
    for number, line in enumerate(text.splitlines(), 1):
        code = line.partition(" -- ")[0]
        if not NO_STATEMENT.match(code) and not GOES_ON.search(before):
            found.add(number)
        if not code.lstrip().startswith("--"):
            before = code
    return found


def marks_of(name: str, text: str) -> set[str]:
    """Every mark that the script can leave."""
    return set(re.findall(r"ran\('([^']+)'\)", marked(name, text)))


def marks_in(log: Path) -> set[str]:
    """Every mark that was left."""
    return set(re.findall(r"ran (\S+:\d+\+?)$", log.read_text("utf-8", "replace"), re.MULTILINE))


@contextmanager
def heard(client: redis.Redis) -> Iterator[list[list[str]]]:
    """The commands that scripts send meanwhile, as lists of their words; complete at the end."""
    commands: list[list[str]] = []
    with client.monitor() as monitor:

        def listen() -> None:
            for one in monitor.listen():
                if one["command"] == "ECHO enough":
                    return
                if one["client_type"] == "lua":
                    commands.append(one["command"].split())

        thread = threading.Thread(target=listen)
        thread.start()
        yield commands
        client.echo("enough")
        thread.join(PATIENCE)
        assert not thread.is_alive(), "not heard to the end"
