"""The process in which jq runs: reads requests from standard input, answers each on standard output.

A request is two lines: a JSON list of new programs by number and of jobs (``[program, expression to blame first]``, by
their numbers), and the payload as JSON. The answer is one line: a JSON list with ``{"value": …}`` or
``{"stage", "error"}`` per job. ``JqProcess`` starts it with bounded memory and hardly any environment; it
ends with its parent, whose end of the pipe then closes.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from typing import Any

import jq

LARGEST_EXACT = 2**53
"""jq computes with 64-bit floats: whole numbers from here on are not exact."""

READ_BYTES = 1 << 16
"""What is read of a request at a time: as much as a pipe holds."""

_LONG = re.compile(r"[ \[]-?[0-9]{16}")
"""What a long whole number looks like in an answer; it may stand in a text, too."""

_texts: dict[str, str] = {}
_programs: dict[str, Any] = {}

_Job = tuple[str, str]


def serve(memory_bytes: int, answer_bytes: int) -> None:
    """Answer requests until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _send(b"ready\n")
    known: dict[bytes, list[_Job]] = {}
    with open(0, "rb", buffering=READ_BYTES) as requests:
        while request := requests.readline():
            payload = requests.readline().decode().strip()
            jobs = known.get(request) or known.setdefault(request, _jobs(request))
            found = _answers(jobs, payload)
            if len(found) > answer_bytes:
                found = json.dumps([{"stage": "size", "error": f"gives more than {answer_bytes} bytes"}])
            _send(found.encode() + b"\n")


def _jobs(request: bytes) -> list[_Job]:
    """The programs of a request, and for each the expression to blame first."""
    new, jobs = json.loads(request)
    _texts.update(new)
    return [(_texts[str(job)], _texts[str(first)]) for job, first in jobs]


def _send(answer: bytes) -> None:
    while answer:
        answer = answer[os.write(1, answer) :]


def _answers(jobs: list[_Job], payload: str) -> str:
    """Run programs on a payload that is parsed once for all of them; where one fails, each by itself."""
    if len(jobs) > 1 and payload:
        together = ",\n".join([f"(\n{program}\n)" for program, _ in jobs])
        try:
            return f"[{', '.join(map(_described, _compiled(f'[{together}]').input_text(payload).first()))}]"
        except (ValueError, StopIteration):
            pass
    return f"[{', '.join([_run(program, first, payload) for program, first in jobs])}]"


def _run(program: str, first: str, payload: str) -> str:
    """Run one program; the expression that it tries first is blamed when it fails by itself.

    Without a payload it is compiled alone, by itself and with ``$options`` known, so that places in it are right.
    """
    try:
        if not payload:
            jq.compile(program, args={"options": {}})
            return "{}"
        return _described(_compiled(program).input_text(payload).first())
    except (ValueError, StopIteration) as error:
        stage = "when" if first and _fails(first, payload) else "read"
        return json.dumps({"stage": stage, "error": str(error)})


def _described(value: Any) -> str:
    """A program's value as an answer."""
    if value is None:
        return "{}"
    text = json.dumps(value)
    if _LONG.search(f" {text}") and _is_inexact(value):
        return json.dumps(
            {"stage": "read", "error": "gives a whole number of 2^53 or more, which jq cannot keep exactly"}
        )
    return f'{{"value": {text}}}'


def _compiled(program: str) -> Any:
    if program not in _programs:
        _programs[program] = jq.compile(program)
    return _programs[program]


def _fails(program: str, payload: str) -> bool:
    try:
        _compiled(program).input_text(payload).first()
    except (ValueError, StopIteration):
        return True
    return False


def _is_inexact(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_inexact, value.values()))
    if isinstance(value, list):
        return any(map(_is_inexact, value))
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST_EXACT


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
