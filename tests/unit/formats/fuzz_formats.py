"""Mutated payloads of every format and mapping: no crash, and no other answer where the meaning is the same.

Seeds are fresh unless one is given.

    make fuzz-formats ARGS="--count 100000 --seed N"

Prints what went wrong, grouped, and exits 1; a seed repeats a run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from format_cases import golden_cases, mapping_cases, options_of
from golden_projects import project_for
from mutations import GEOMETRY, SAME, means_another, said, with_fewer_objects, with_geometry, with_more_objects

from worker.contract.output import Classification, Either
from worker.formats import OutputError, read_payload
from worker.ontology import Interface, OntologyError, to_json_response

OTHERS = {
    "with_geometry": with_geometry,
    "with_fewer_objects": with_fewer_objects,
    "with_more_objects": with_more_objects,
}
PASSED_ON = ("kili",)
"""Formats that are passed on as they are, whatever is in them."""

Finding = tuple[str, str, str]


def main() -> int:
    """Run, report, and tell by the exit code whether anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--only", default="", help="formats whose name holds this word; `mappings` are those that are shipped"
    )
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**32)
    begun = time.monotonic()
    found, examples, outcomes = run(arguments.count, random.Random(seed), arguments.only)
    for finding, times in found.most_common():
        print(f"{times:6} x {' | '.join(finding)}\n         {examples[finding]}")
    told = ", ".join(f"{times:,} {outcome}" for outcome, times in sorted(outcomes.items()))
    print(f"seed {seed}: {arguments.count:,} mutated payloads in {time.monotonic() - begun:.0f} s: {told}")
    return 1 if found else 0


def run(count: int, chance: random.Random, only: str = "") -> tuple[Counter[Finding], dict[Finding, str], Counter[str]]:
    """Findings with how often, an example of each, and what became of all payloads."""
    found: Counter[Finding] = Counter()
    examples: dict[Finding, str] = {}
    outcomes: Counter[str] = Counter()
    cases = [] if only == "mappings" else golden_cases()
    cases = [case for case in cases + mapping_cases() if only == "mappings" or only in case["family"]]
    before = {id(case): said(read_payload(case["payload"], options_of(case)).outputs) for case in cases}
    interfaces = {id(case): Interface.parse(*project_for(case)) for case in cases}
    for _ in range(count):
        case = chance.choice(cases)
        names, payload = mutate(case, chance)
        outcome = judge(case, names, payload, before[id(case)], interfaces[id(case)])
        outcomes[outcome.split(":")[0]] += 1
        if outcome not in ("the same", "refused", "changed as meant"):
            finding = (case["family"], "+".join(names), outcome)
            found[finding] += 1
            examples.setdefault(finding, repr(payload)[:600])
    return found, examples, outcomes


def mutate(case: dict[str, Any], chance: random.Random) -> tuple[list[str], Any]:
    """One to three changes that keep the meaning, or one that does not."""
    if chance.random() < 0.3:
        name = chance.choice(list(OTHERS))
        changed = OTHERS[name](case["payload"], chance)
        return [name], case["payload"] if changed is None else changed
    names, payload = [], case["payload"]
    for name in chance.choices([name for name in SAME if not means_another(case, name)], k=chance.randint(1, 3)):
        changed = SAME[name](payload, chance)
        if changed is not None:
            payload = changed
            names.append(name)
    return names, payload


def judge(case: dict[str, Any], names: list[str], payload: Any, before: list[Any], interface: Interface) -> str:
    """What became of one payload, in words."""
    try:
        outputs = read_payload(payload, options_of(case)).outputs
        for output in outputs:
            to_json_response(output, interface, text=case["options"].get("text"))
    except (OutputError, OntologyError):
        return "refused"
    except Exception as error:  # noqa: BLE001 - any other error is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"crash: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    if names == ["with_geometry"]:
        firsts = [one.answer.answers[0] if isinstance(one.answer, Either) else one.answer for one in outputs]
        is_class = any(isinstance(first, Classification) for first in firsts)
        carries = isinstance(payload, dict | list) and any(f"'{key}'" in repr(payload) for key in GEOMETRY)
        return (
            "read as a class: with geometry"
            if is_class and carries and payload != case["payload"]
            else "changed as meant"
        )
    if names and names[0] in OTHERS:
        return "changed as meant"
    if said(outputs) == before or (case["family"] in PASSED_ON and not set(names) <= {"permuted", "as_json_text"}):
        return "the same"
    return "another answer: than before"


if __name__ == "__main__":
    sys.exit(main())
