"""A failing plan made smaller, and the line that replays it."""

from __future__ import annotations

import time

from tests.simulation.run import Outcome, Plan, simulate

LIMIT_SECONDS = 300.0


def shrunk(plan: Plan, outcome: Outcome, left_out: list[int]) -> tuple[list[int], Outcome]:
    """Leave out one part after the other for as long as it still fails in the same way; what is left out, in order."""
    end, part = time.monotonic() + LIMIT_SECONDS, plan.parts() - 1
    while part >= 0 and time.monotonic() < end:
        smaller = plan.without(part)
        found = simulate(smaller)
        if _kind(found.problem) == _kind(outcome.problem):
            plan, outcome, left_out = smaller, found, [*left_out, part]
        part -= 1
    return left_out, outcome


def line_of(plan: Plan, messages: float, left_out: list[int], outcome: Outcome) -> str:
    """The command that replays a failure exactly."""
    planted = (" --plant" if plan.forgets else "") + (" --bare" if plan.omits_content else "") + plan.OPTION
    planted += f" --revert {plan.reverted}" if plan.reverted else ""
    without = f" --without {','.join(map(str, left_out))}" if left_out else ""
    return (
        f"python -m tests.simulation --seeds {plan.seed} --days {plan.days:g} --messages {messages:g}{planted}{without}"
        " --no-shrink"
        f"  # {outcome.problem[:200]} (trace {outcome.fingerprint})"
    )


def _kind(problem: str) -> str:
    return "".join(letter for letter in problem.partition(":")[0] if not letter.isdigit())
