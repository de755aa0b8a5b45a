"""``prediction-worker waiting``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import redis

from worker.cli.running import count_of, fail, load_settings, print_json, traced
from worker.delivery import CircuitBreaker
from worker.delivery.waiting import ProjectBusy, Wait, waits
from worker.delivery.waiting import dead_letter as dead_letter_all
from worker.delivery.waiting import drop as drop_all
from worker.spool import LeaseLost, Spool
from worker.wiring import spool_of

PROJECT = click.argument("project")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print how many; change nothing.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; does not ask, so it needs --yes.")


@click.group()
def waiting() -> None:
    """List what waits, by project; end the wait of a project that Kili will not take."""


@waiting.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_projects(*, as_json: bool) -> None:
    """Show how many predictions each project has waiting, since when, and why."""
    found = _query_spool(lambda spool: waits(spool, _breaker(spool)))
    if as_json:
        print_json([_plain(one) for one in found])
        return
    for one in found:
        why = f"; refused for {_duration(_paused_seconds(one))}: {one.pause.reason}" if one.pause else ""
        count = one.waiting + one.leased
        click.echo(f"{one.project}: {count} since {_moment(one.oldest_ms)} ({_duration(one.seconds)}){why}")
    if not found:
        click.echo("nothing waits")


@waiting.command()
@PROJECT
def retry(project: str) -> None:
    """Try a paused PROJECT at once, for example after access was granted."""
    woken = _query_spool(lambda spool: _breaker(spool).wake(project))
    if not woken and all(one.project != project for one in _query_spool(lambda spool: waits(spool, _breaker(spool)))):
        fail(f"nothing waits for project {project}; see prediction-worker waiting list")
    click.echo(f"{project} is tried at once" if woken else f"{project} is not paused")


@waiting.command(name="dead-letter")
@PROJECT
@YES
@DRY_RUN
@AS_JSON
def dead_letter(project: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Move what PROJECT has waiting to the dead letters; it can be replayed from there."""
    _end(project, dead_letter_all, "moved to the dead letters", yes=yes, dry_run=dry_run, as_json=as_json)


@waiting.command()
@PROJECT
@YES
@DRY_RUN
@AS_JSON
def drop(project: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Drop what PROJECT has waiting for good; it is counted as dropped."""
    _end(project, drop_all, "dropped for good", yes=yes, dry_run=dry_run, as_json=as_json)


def _end(project: str, end: Callable[..., int], done: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    found = [one for one in _query_spool(lambda spool: waits(spool, _breaker(spool))) if one.project == project]
    if not found:
        fail(f"nothing waits for project {project}; see prediction-worker waiting list")
    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask; add --yes or --dry-run")
    (wait,) = found
    count = wait.waiting + wait.leased
    if not dry_run:
        if not yes:
            click.confirm(f"{count_of(count, 'prediction')} of {project} will be {done}. Go on?", abort=True)
        count = _query_spool(lambda spool: _ended(spool, wait, end))
    if as_json:
        print_json({"project": project, "predictions": count, "dry_run": dry_run})
    else:
        verb = "would be" if dry_run else "was" if count == 1 else "were"
        click.echo(f"{count_of(count, 'prediction')} of {project} {verb} {done}")


def _ended(spool: Spool, wait: Wait, end: Callable[..., int]) -> int:
    try:
        with traced(load_settings()) as tracer:
            count = end(spool, wait, tracer=tracer)
    except ProjectBusy:
        fail(f"a worker is delivering {wait.project} at the moment; nothing was changed, call again")
    except LeaseLost:
        fail(f"a worker took {wait.project} meanwhile; call again for the rest")
    if spool.ledger(wait.project).waiting == 0:
        _breaker(spool).forget(wait.project)
    return count


def _query_spool(query: Callable[[Spool], Any]) -> Any:
    try:
        return query(spool_of(load_settings()))
    except redis.RedisError as error:
        fail(f"Redis cannot be asked: {error}")


def _breaker(spool: Spool) -> CircuitBreaker:
    return CircuitBreaker(spool.redis, spool.prefix, first=0, cap=0)


def _plain(one: Wait) -> dict[str, Any]:
    return {
        "project": one.project,
        "waiting": one.waiting,
        "leased": one.leased,
        "oldest_at": _moment(one.oldest_ms),
        "oldest_seconds": round(one.seconds, 1),
        "pause": asdict(one.pause) if one.pause else None,
    }


def _paused_seconds(one: Wait) -> float:
    return datetime.now(UTC).timestamp() - one.pause.since / 1000 if one.pause else 0.0


def _moment(ms: int | None) -> str | None:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms is not None else None


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
