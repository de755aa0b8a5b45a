"""``prediction-worker status``."""

from __future__ import annotations

import click
import redis

from worker.cli.loading import fail, load_settings, print_json


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json", "prometheus"]), default="text", help="Format.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def status(form: str, as_json: bool) -> None:
    """Show backlog, lanes, leases, dead letters, pauses, call budget and the conservation check."""
    from worker.monitoring.fleet import prometheus_text
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
