"""``prediction-worker dead-letters``."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click
import redis

from worker.cli.running import count_of, fail, load_settings, print_json, start_logging, traced
from worker.spool import Admission, Spool
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


@dead_letters.command()
@IDS
@CAUSE
@click.option("--all", "everything", is_flag=True, help="Drop every letter.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(ids: tuple[str, ...], cause: str | None, everything: bool, yes: bool) -> None:
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
