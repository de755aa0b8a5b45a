"""``prediction-worker health``: reads one file, imports nothing of the worker's machinery."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from worker.monitoring.progress import STALE_SECONDS, read_heartbeat

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
