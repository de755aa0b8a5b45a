"""The command ``prediction-worker``. Each command lives in a module that is imported only when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from worker import __version__

COMMANDS = {
    "check": "check settings, Redis and Kili; reject what is dangerous",
    "dead-letters": "list, show, replay or drop what could not be delivered",
    "demo": "the whole loop on this machine, nothing to install or start",
    "evaluate": "a model against an already labeled project",
    "explain": "show how a message would be handled; sends nothing",
    "exporter": "metrics of all workers for Prometheus",
    "formats": "list the formats, test mappings",
    "health": "cheap liveness and readiness of a running worker",
    "policy": "test, simulate and show the review policy",
    "publish": "send JSON Lines to a source",
    "redis": "a Redis for first steps on this machine",
    "report": "agreement of models with human labels, disagreements, drift",
    "sandbox": "the local Kili",
    "schema": "JSON Schema and AsyncAPI of the message contract",
    "serve": "take predictions over HTTP, beside workers that deliver them",
    "start": "the worker",
    "status": "backlog, lanes, dead letters, call budget, conservation check",
    "waiting": "list waiting predictions by project; retry, dead-letter or drop them",
    "webhook": "receive Kili's webhooks, so that new labels are read soon",
}

MODULES = {
    "check": "status",
    "dead_letters": "undelivered",
    "demo": "local",
    "exporter": "serving",
    "health": "status",
    "redis": "serving",
    "sandbox": "local",
    "schema": "formats",
    "serve": "serving",
    "start": "serving",
    "waiting": "undelivered",
    "webhook": "serving",
}
"""The modules of commands that do not have one of their own name."""


class LazyGroup(click.Group):
    """A group that imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"worker.cli.{MODULES.get(name, name)}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; what files, servers and settings do to it ends it with a line, not with a traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            from worker.cli.running import outside_message

            message = outside_message(error)
            if message is None:
                raise
            raise click.ClickException(message) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "PREDICTION_WORKER", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="prediction-worker")
def main() -> None:
    """Take model predictions from a queue to the Kili labeling platform."""
