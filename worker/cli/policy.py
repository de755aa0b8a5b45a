"""``prediction-worker policy``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import redis

from worker.cli.running import OutputFile, fail, load_settings, print_json

if TYPE_CHECKING:
    from worker.review import Policy, Subject

POLICY = click.option(
    "--policy",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="WORKER_REVIEW__POLICY",
    help="The policy file; otherwise the policy that is configured.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_DEFAULTS = {"model": {"name": "model", "version": "1"}, "predicted_at": "2026-01-01T00:00:00Z"}
_DAY_COLUMNS = ("predictions", "reviews", "must_review", "audits", "doubtful", "errors_expected", "errors_in_reviews")


@click.group()
def policy() -> None:
    """Test, simulate and show the review policy."""


@policy.command()
@click.argument("cases", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@POLICY
@JSON
def test(cases: Path, path: Path | None, as_json: bool) -> None:
    """Run the unit tests of a policy in CASES (JSON, TOML or YAML); exit 1 when one fails.

    CASES holds `cases`: each with `name`, `message` (a prediction; what the policy does not look at may be left out)
    and `expect` (fields of the decision; texts are shell patterns).
    """
    from worker.review.inspection import TestCase, run_cases

    found = [TestCase(one["name"], _subject(one["name"], one["message"]), one["expect"]) for one in _cases(cases)]
    try:
        results = run_cases(_policy(path), found)
    except ValueError as error:
        fail(str(error))
    if as_json:
        print_json([{"name": one.name, "passed": one.passed, "differences": one.differences} for one in results])
    else:
        for one in results:
            click.echo(f"{'passed' if one.passed else 'FAILED'}  {one.name}")
            for name, (expected, decided) in one.differences.items():
                click.echo(f"        {name}: expected {expected!r}, decided {decided!r}")
    if not all(one.passed for one in results):
        raise SystemExit(1)


@policy.command()
@click.argument("file", type=click.File("rb"))
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Spread FILE evenly over so many days.")
@click.option("--learned", is_flag=True, help="With what the running worker has learned from verdicts.")
@click.option("--plot", type=OutputFile(), help="Write a chart (SVG).")
@POLICY
@JSON
def simulate(
    file: IO[bytes], days: float | None, learned: bool, plot: Path | None, path: Path | None, as_json: bool
) -> None:
    """Show what the policy would do to the recorded messages in FILE (JSON Lines); sends nothing.

    Their times are those of `predicted_at`, unless --days is given.
    """
    from worker.review.inspection import simulate as run
    from worker.review.inspection import spread_over

    active = _policy(path)
    timed = list(_recorded(file))
    if not timed:
        fail(f"{file.name}: holds no message")
    subjects = [subject for _, subject in timed]
    found = run(active, spread_over(subjects, days) if days else timed, _learned(subjects) if learned else None)
    if plot:
        plot.write_text(found.plot(), "utf-8")
    summary = found.summary()
    if as_json:
        print_json(summary)
    else:
        _print_table([("day", row["day"], row) for row in summary["days"]])
        _print_table([("class", name, row) for name, row in summary["classes"].items()])


@policy.command()
@POLICY
@JSON
def show(path: Path | None, as_json: bool) -> None:
    """Show the policy, where its cut is now, the budget spent, and what it has learned.

    While Redis is away, the policy alone is shown; exit 1.
    """
    from worker.environment.connections import connect
    from worker.projects.configuration import review_text
    from worker.review import RedisState
    from worker.review.inspection import as_written, overview

    settings = load_settings()
    in_force = review_text(settings.review)
    if path is None and settings.review.in_force == "threshold":
        print_json({"in_force": in_force}) if as_json else click.echo(f"in force: {in_force}")
        return
    rules, unknown = _policy(path), ""
    found = {"in_force": in_force} | as_written(rules)
    try:
        state = RedisState(connect(settings.redis), prefix=settings.spool.prefix)
        found |= overview(rules, state, time.time())
    except redis.RedisError as error:
        unknown = f"Redis cannot be asked for its cut, its budget and what it has learned: {error}"
    if as_json:
        print_json(found)
    else:
        _print_policy(found)
    if unknown:
        fail(unknown)


def _print_policy(found: dict[str, Any]) -> None:
    click.echo(f"in force: {found['in_force']}\npolicy {found['policy']}")
    for rule in found["rules"]:
        click.echo(f"  rule {json.dumps(rule, ensure_ascii=False)}")
    for section in ("projects", "models"):
        for row in found.get(section, ()):
            click.echo(f"{section[:-1]:8}" + "  ".join(f"{key} {value}" for key, value in row.items()))


def _policy(path: Path | None) -> Policy:
    from worker.projects.configuration import ranked_rules
    from worker.review import PolicyError, read_policy

    try:
        rules = read_policy(path) if path else ranked_rules(load_settings().review)
    except PolicyError as error:
        fail(f"the policy cannot be used: {error}")
    if rules is None:
        fail("the threshold rule is in force, which has no policy; name one with --policy")
    return rules


def _cases(path: Path) -> list[dict[str, Any]]:
    from worker.review.policy_file import read_document

    try:
        found = read_document(path)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    cases = found.get("cases") if isinstance(found, dict) else None
    if not isinstance(cases, list) or not all(isinstance(one, dict) for one in cases):
        fail(f"{path}: needs a list `cases`, each with name, message and expect")
    for one in cases:
        found = (one.get("name"), one.get("message"), one.get("expect"))
        if not all(map(isinstance, found, (str, dict, dict))):
            fail(f"{path}: every case needs name (a text), message and expect (both mappings)")
    return cases


def _subject(name: str, message: dict[str, Any]) -> Subject:
    filled = {**_DEFAULTS, "external_id": name, **message}
    subjects = [subject for _, subject in _subjects(json.dumps(filled).encode(), f"case {name!r}")]
    return subjects[0]


def _recorded(file: IO[bytes]) -> Iterator[tuple[float, Subject]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield from _subjects(line, f"line {number}")


def _subjects(raw: bytes, at: str) -> Iterator[tuple[float, Subject]]:
    """The subjects of a message, one per asset, each with its time."""
    from worker.contract import MessageError, Prediction, ReadingLimits, read_json, read_message
    from worker.formats import OutputError
    from worker.projects.outputs import output_of, rows_of
    from worker.review.decision import subject_of

    try:
        message = read_message(read_json(raw, ReadingLimits()))
        for row in [message] if isinstance(message, Prediction) else rows_of(message):
            subject = subject_of(row, output_of(row), row.project_id or "-")
            yield row.predicted_at.timestamp(), subject
    except (MessageError, OutputError) as error:
        fail(f"{at}: {error}")


def _learned(subjects: list[Subject]) -> Any:
    """A state in memory with the running worker's fits."""
    from worker.environment.connections import connect
    from worker.review import MemoryState, RedisState, ScoreSource

    settings = load_settings()
    shared = RedisState(connect(settings.redis), prefix=settings.spool.prefix)
    sources = {ScoreSource(one.project, one.output.job or "", one.model) for one in subjects}
    found = MemoryState()
    try:
        shared.refresh(sources, ())
    except redis.RedisError as error:
        fail(f"Redis cannot be asked: {error}")
    for source in sources:
        found.save_calibration(source, shared.calibration(source))
        if (fit := shared.vectors.fit(source)) is not None:
            found.vectors.save_fit(source, fit)
    return found


def _print_table(rows: list[tuple[str, Any, dict[str, Any]]]) -> None:
    if not rows:
        return
    click.echo(f"\n{rows[0][0]:24}" + "".join(f"{name.replace('_', ' '):>18}" for name in _DAY_COLUMNS))
    for _, name, row in rows:
        click.echo(f"{name!s:24}" + "".join(f"{row[column]:>18}" for column in _DAY_COLUMNS))
