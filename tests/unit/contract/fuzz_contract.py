"""Both ways of reading agree on changed messages: accepted or refused, with the same message or the same words.

make fuzz-contract ARGS="--count 180000 --seed N"

Prints what they do not agree on and exits 1; a seed repeats a run.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

from tests.unit.contract.mutations import mutated
from worker.contract import MessageError, ReadingLimits, read_json, read_message, read_raw

LIMITS = ReadingLimits(max_bytes=10_000, max_depth=20)


def both(raw: bytes, limits: ReadingLimits = LIMITS) -> tuple[Any, Any]:
    """What the quick way and the way with words make of a message: its representation, or the words of a refusal."""
    return _outcome(lambda: read_raw(raw, limits)), _outcome(lambda: read_message(read_json(raw, limits)))


def _outcome(read: Any) -> Any:
    try:
        found = read()
    except MessageError as error:
        return error.cause, error.field, error.problem, error.fix
    return repr(found)  # 1 and 1.0 and true are equal, and not the same


def disagreements(count: int, seed: int) -> tuple[list[tuple[bytes, Any, Any]], int]:
    """Messages that both do not read alike, with what each says; and how many messages were accepted."""
    found, accepted = [], 0
    for raw in mutated(count, random.Random(seed)):
        quick, worded = both(raw)
        accepted += isinstance(worded, str)
        if quick != worded:
            found.append((raw, quick, worded))
    return found, accepted


def main() -> int:
    """Run, print, and tell by the exit code whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=180_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    found, accepted = disagreements(arguments.count, arguments.seed)
    for raw, quick, worded in found[:20]:
        print(f"{raw!r}\n    quick:  {quick}\n    worded: {worded}")
    print(f"seed {arguments.seed}: {arguments.count:,} messages, {accepted:,} accepted, {len(found):,} not read alike")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
