"""docs/reference/exit-codes.md: what each command exits with."""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from worker.cli.local import INTERRUPTED, TERMINATED

ROOT = Path(__file__).parents[2]

CODES = {
    0: "The command succeeded. A command that serves was ended by SIGTERM or SIGINT.",
    1: "It failed, or it found what it looks for; see below. One line on standard error names the reason.",
    2: "The call is wrong: an unknown command or option, a missing argument, a value of the wrong kind.",
    INTERRUPTED: f"`demo` was ended with Ctrl-C (128 + {signal.SIGINT.value}).",
    TERMINATED: f"`demo` was ended by SIGTERM or by a closed terminal (128 + {signal.SIGTERM.value}).",
}

FAILURES = {
    "check": "a check rejects something: settings, Redis, Kili or the project's interface",
    "dead-letters": "a letter or a cause is not there, Redis does not answer, or a question is answered with no",
    "demo": "the demo cannot go on, or an assertion about its result does not hold",
    "evaluate": "the agreement is below `--fail-under`, or nothing can be evaluated",
    "explain": "the message would become a dead letter",
    "exporter": "the address cannot be listened on",
    "formats": "a test of a mapping fails; `list`: a format of another package cannot be loaded",
    "health": "no worker is alive here; with `--ready`, something keeps it from working",
    "policy": "`test`: a case fails; otherwise the policy or a file cannot be used",
    "publish": "a line is no prediction, or the source took no more; the message says how many were sent",
    "redis": "the server cannot be started",
    "report": "Kili or Redis does not answer, or the project is not known",
    "sandbox": "the address cannot be listened on, or an option is wrong",
    "schema": "",
    "serve": "the settings are wrong, or the address cannot be listened on",
    "start": "a check rejects something; `--unchecked` starts all the same",
    "status": "Redis does not answer, or the conservation check fails",
    "waiting": "nothing waits for the project, a worker delivers it at the moment, or Redis does not answer",
    "webhook": "the address cannot be listened on",
}

HEAD = """# Exit codes

<!-- Written by `python -m scripts.write_reference`. Do not edit. -->

| code | meaning |
|---|---|
"""

TAIL = """
## What 1 means, by command

Every command exits with 1 when its settings are wrong, or when a file or a server that it needs fails.

| command | exits with 1 also when |
|---|---|
"""


def page() -> str:
    """The whole page."""
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in CODES.items())
    failures = "\n".join(f"| [{name}](cli.md#{name}) | {meaning} |" for name, meaning in FAILURES.items() if meaning)
    return f"{HEAD}{codes}\n{TAIL}{failures}\n"


def written_exits() -> Iterator[tuple[str, str]]:
    """(module, expression) of what the command line raises SystemExit or calls sys.exit with."""
    for path in sorted((ROOT / "worker" / "cli").glob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if re.search(r"SystemExit|sys\.exit", text) else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("SystemExit", "sys.exit"):
                yield path.name, ast.unparse(node.args[0])
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "partial" and "sys.exit" in ast.unparse(node):
                yield path.name, ast.unparse(node.args[1])
