"""``prediction-worker dead-letters`` and ``waiting``: what could not be delivered, and what waits to be."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import redis

from worker.cli.running import count_of, fail, load_settings, print_json, start_logging, traced
from worker.delivery import CircuitBreaker
from worker.delivery.waiting import ProjectBusy, Wait, waits
from worker.delivery.waiting import dead_letter as dead_letter_all
from worker.delivery.waiting import drop as drop_all
from worker.spool import Admission, LeaseLost, Spool
from worker.spool.dead_letters import LETTER_ID, DeadLetter, DeadLetters
from worker.wiring import admitter_of, spool_of


def _letter_ids(_ctx: click.Context, _param: click.Parameter, given: Any) -> Any:
    """Ids of dead letters as they are; refused where one can be none."""
    for one in [given] if isinstance(given, str) else given:
        if not LETTER_ID.fullmatch(one):
            raise click.BadParameter(
                f"{one!r} is no id of a dead letter, such as 1764201600000-0; `dead-letters list` shows them"
            )
    return given


CAUSE = click.option("--cause", help="Only letters with this cause.")
IDS = click.argument("ids", nargs=-1, callback=_letter_ids)


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List, show, replay or drop what could not be delivered."""


@dead_letters.command(name="list")
@CAUSE
@click.option("--limit", type=click.IntRange(1), default=20, help="Letters shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_letters(cause: str | None, limit: int, as_json: bool) -> None:
    """Show how many letters each cause has, and the first of them."""
    letters = _stored(_spool())
    _check_cause(letters, cause)
    causes, shown = letters.causes(), [letter.summary() for letter in letters.letters(cause, limit)]
    if as_json:
        print_json({"causes": causes, "letters": shown})
        return
    for name, count in causes.items():
        click.echo(f"{count:7}  {name}")
    for letter in shown:
        click.echo("\n".join(_lines(letter)))


@dead_letters.command()
@click.argument("letter_id", callback=_letter_ids)
@click.option("--original", is_flag=True, help="Print the message as it arrived, and nothing else.")
def show(letter_id: str, original: bool) -> None:
    """Show one letter: cause, error, history; with --original the message."""
    letter = _stored(_spool()).get(letter_id)
    if letter is None:
        fail(f"no dead letter {letter_id}")
    if original:
        click.get_binary_stream("stdout").write(letter.original + b"\n")
    else:
        print_json(letter.summary())


@dead_letters.command()
@IDS
@CAUSE
@click.option("--all", "everything", is_flag=True, help="Replay every letter.")
@click.option("--rate", type=click.FloatRange(min=0.1), default=500.0, help="Letters a second.")
@click.option("--dry-run", is_flag=True, help="Print how many would be replayed; change nothing.")
def replay(ids: tuple[str, ...], cause: str | None, everything: bool, rate: float, dry_run: bool) -> None:
    """Admit letters again, by IDS, by cause or all; one that is still wrong becomes a letter again.

    A letter leaves in the transaction that admits it, so an interrupted replay is resumed by calling it again.
    """
    settings = load_settings()
    start_logging(settings)
    spool = _spool()
    letters = _stored(spool)
    chosen = _chosen(letters, ids, cause, everything)
    if dry_run:
        click.echo(f"{count_of(len(chosen), 'letter')} would be replayed")
        return
    total, gone = Admission(0, 0, 0, 0), Admission(0, 0, 0, skipped=1)
    with traced(settings) as tracer:
        admitter = admitter_of(settings, spool, tracer=tracer)
        try:
            for letter in _paced(letters, chosen, rate):
                total += admitter.replay(letter) if letter is not None else gone
            admitter.keep()
        except redis.RedisError as error:
            fail(f"{total.text()}; then Redis refused: {error}; call again for the rest")
    if ids and total.skipped == len(ids):
        fail(f"none of these is a dead letter: {', '.join(ids)}")
    click.echo(total.text())


@dead_letters.command(name="drop")
@IDS
@CAUSE
@click.option("--all", "everything", is_flag=True, help="Drop every letter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_letters(ids: tuple[str, ...], cause: str | None, everything: bool, yes: bool) -> None:
    """Drop letters for good; they are counted as dropped."""
    spool = _spool()
    chosen = _chosen(_stored(spool), ids, cause, everything)
    if not yes:
        click.confirm(f"Drop {count_of(len(chosen), 'dead letter')} for good?", abort=True)
    dropped = sum(spool.drop(letter_id) for letter_id in chosen)
    if ids and not dropped:
        fail(f"none of these is a dead letter: {', '.join(ids)}")
    click.echo(f"{dropped} dropped")


def _spool() -> Spool:
    spool = spool_of(load_settings())
    try:
        spool.redis.ping()
    except redis.RedisError as error:
        fail(f"Redis cannot be asked: {error}")
    return spool


def _stored(spool: Spool) -> DeadLetters:
    return DeadLetters(spool.redis, spool.prefix)


def _chosen(letters: DeadLetters, ids: tuple[str, ...], cause: str | None, everything: bool) -> list[str]:
    if sum((bool(ids), cause is not None, everything)) != 1:
        raise click.UsageError("name ids, or --cause, or --all")
    _check_cause(letters, cause)
    return list(ids) if ids else letters.ids(cause)


def _check_cause(letters: DeadLetters, cause: str | None) -> None:
    """End the command when no letter has the cause: a misspelt one must not pass for one that is done with."""
    causes = letters.causes()
    if cause is None or cause in causes:
        return
    if not causes:
        fail(f"no dead letter has the cause {cause!r}: there are no dead letters")
    near = difflib.get_close_matches(cause, causes, n=1)
    known = f"did you mean {near[0]}?" if near else f"there are {', '.join(causes)}"
    fail(f"no dead letter has the cause {cause!r}; {known}")


def _lines(letter: dict[str, Any]) -> Iterator[str]:
    named = [letter[name] for name in ("project_id", "external_id") if letter[name]]
    yield f"{letter['id']}  {letter['cause']}  {' '.join(named) or '(names no project and no asset)'}"
    yield f"    {letter['field']}: {letter['problem']}"
    if letter["fix"]:
        yield f"    fix: {letter['fix']}"


def _paced(letters: DeadLetters, ids: Iterable[str], rate: float) -> Iterable[DeadLetter | None]:
    begun = time.monotonic()
    for number, letter_id in enumerate(ids):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        yield letters.get(letter_id)


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


@waiting.command(name="drop")
@PROJECT
@YES
@DRY_RUN
@AS_JSON
def drop_waiting(project: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
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
