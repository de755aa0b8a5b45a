"""The table of failures in docs/architecture.md, made from the rules. Run this file to write it anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from worker.delivery.failure_policy import RULES
from worker.delivery.failures import Rule, Trouble
from worker.kili import KiliError
from worker.kili.retry import RetryPolicy, may_pass_later

PAGE = Path(__file__).resolve().parents[3] / "docs/architecture.md"
BEGIN, END = "<!-- failures: begin -->\n", "<!-- failures: end -->\n"
MANY = 8
HEAD = "| where it is met | failure | whose fault | what happens | until when, and what then | who asks |\n"
HEAD += "|---|---|---|---|---|---|\n"


def error_classes(base: type[KiliError] = KiliError) -> Iterator[type[KiliError]]:
    """Every class of the tree of errors, the base included."""
    yield base
    for one in base.__subclasses__():
        yield from error_classes(one)


def table() -> str:
    """The whole table as Markdown."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in [_call(), *map(_row, RULES)])


def page() -> str:
    """The page with the table as it is to be."""
    text = PAGE.read_text()
    old = re.compile(re.escape(BEGIN) + "(?s:.*)" + re.escape(END))
    assert old.search(text), f"{PAGE} has no place for the table"
    return old.sub(lambda _: BEGIN + table() + END, text)


def _call() -> tuple[str, ...]:
    repeated = ", ".join(f"`{one.__name__}`" for one in error_classes() if may_pass_later(one("")))
    end = (
        f"`WORKER_KILI__ATTEMPTS` attempts, {RetryPolicy().timed_out_attempts} after a timeout: the request has failed"
    )
    return ("one attempt of a call", repeated, "unknown", "send it again", end, "`kili/retry.py: RetryPolicy`, alone")


def _row(rule: Rule) -> tuple[str, ...]:
    names = ", ".join(str(one) if isinstance(one, Trouble) else f"`{one.__name__}`" for one in rule.failures)
    if len(rule.failures) > MANY:
        assert KiliError in rule.failures, "a row for so many classes is the one for all that no other row names"
        names = "any other error" if Exception in rule.failures else "any other error of a call"
    failure = f"{names} ({rule.when_text})" if rule.when_text else names
    ends = "; ".join(f"{one.text}: {one.then}" for one in rule.limits) or "-"
    return (rule.stage.text, failure, rule.fault, rule.action, ends, rule.stage.asked_by)


if __name__ == "__main__":
    PAGE.write_text(page())
