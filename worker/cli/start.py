"""``prediction-worker start``."""

from __future__ import annotations

import click

from worker.cli.loading import fail, load_settings, start_logging


@click.command()
@click.option("--unchecked", is_flag=True, help="Start even if a check fails.")
def start(unchecked: bool) -> None:
    """Run the worker until SIGTERM or SIGINT."""
    from worker.app import bind_runtime, create_app
    from worker.monitoring.checks import startup_checks

    settings = load_settings()
    start_logging(settings)
    refused = [check for check in startup_checks(settings) if check.level == "refused"]
    if refused and not unchecked:
        fail("\n".join(["will not start:", *(f"  {check.name}: {check.problem}; {check.fix}" for check in refused)]))
    app = create_app(settings)
    bind_runtime(app, settings)
    worker = app.Worker(
        pool="threads",
        loglevel=settings.log.level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    raise SystemExit(worker.exitcode or 0)
