"""``prediction-worker status``, ``check`` and ``health``: what is there, and whether it can work.

``health`` is called often: it reads one file, and nothing is imported here that it does not need.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import click

from worker.cli.running import fail, load_settings, print_json
from worker.monitoring.progress import STALE_SECONDS, read_heartbeat


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json", "prometheus"]), default="text", help="Format.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def status(form: str, as_json: bool) -> None:
    """Show backlog, lanes, leases, dead letters, pauses, call budget and the conservation check."""
    import redis

    from worker.monitoring.exporter import prometheus_text
    from worker.monitoring.status import collect, text

    try:
        found = collect(load_settings())
    except redis.RedisError as error:
        fail(f"Redis cannot be asked: {error}")
    if as_json or form == "json":
        print_json(found)
    elif form == "prometheus":
        click.echo(prometheus_text(found), nl=False)
    else:
        click.echo(text(found))
    if found["ledger"]["balance"] != 0:
        fail(f"the conservation sum is off by {found['ledger']['balance']}")


@click.command()
@click.option("--explain", is_flag=True, help="List every setting, its default and its meaning instead.")
@click.option("--offline", is_flag=True, help="Do not call Kili.")
@click.option("--project", help="Project whose interface is read; the default project otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(explain: bool, offline: bool, project: str | None, as_json: bool) -> None:
    """Check settings, Redis, Kili and a project's interface; exit 1 when one of them rejects the start."""
    if explain:
        _explain(as_json)
        return
    from worker.monitoring.checks import kili_checks, startup_checks

    settings = load_settings()
    checks = startup_checks(settings)
    if not offline and all(one.level != "refused" for one in checks):
        checks += kili_checks(settings, project)
    if as_json:
        print_json([asdict(one) for one in checks])
    else:
        for one in checks:
            mend = f"; {one.fix}" if one.fix else ""
            click.echo(f"{one.level:8} {one.name}{': ' if one.problem else ''}{one.problem}{mend}")
    refused = [one.name for one in checks if one.level == "refused"]
    if refused:
        fail(f"refused: {', '.join(dict.fromkeys(refused))}")


def _explain(as_json: bool) -> None:
    from worker.settings.tree import explain as rows

    if as_json:
        print_json([{"name": name, "default": default, "meaning": meaning} for name, default, meaning in rows()])
        return
    for name, default, meaning in rows():
        click.echo(f"{name}\n    {meaning}" + (f" Default: {default}." if default else ""))
    click.echo("\nKILI_API_KEY, KILI_API_ENDPOINT, REDIS_URL and CELERY_BROKER_URL are also read from NAME_FILE.")


DEFAULT_FILE = "/tmp/prediction-worker.heartbeat"  # noqa: S108 - the settings' default, without importing them


@click.command()
@click.option("--ready", is_flag=True, help="Also require that nothing keeps the worker from working.")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help="Heartbeat file; WORKER_HEARTBEAT_FILE otherwise."
)
def health(ready: bool, path: Path | None) -> None:
    """Exit 0 when the worker on this machine lives (and, with --ready, works)."""
    beat = read_heartbeat(path or Path(os.environ.get("WORKER_HEARTBEAT_FILE", DEFAULT_FILE)))
    if beat is None:
        raise click.ClickException("no heartbeat: the worker is not running here")
    age = time.time() - beat.at
    if age > STALE_SECONDS:
        raise click.ClickException(f"last heartbeat {age:.0f} s ago")
    if ready and (beat.trouble or beat.draining):
        raise click.ClickException(beat.trouble or "draining")
    click.echo(f"alive, pid {beat.pid}" + (f", but: {beat.trouble}" if beat.trouble else ""))
