"""Settings for a command, with errors a person can act on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from pydantic import ValidationError

from worker.logs import configure_logging, password_of
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.formats import Catalogue


def load_settings() -> Settings:
    """Read the settings; a wrong one ends the command with its name and what is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise click.ClickException("\n".join(["settings are wrong:", *lines])) from None
    except OSError as error:
        raise click.ClickException(f"a settings file cannot be read: {error}") from None


def start_logging(settings: Settings) -> None:
    """Logs as configured, with every secret of the settings cut out."""
    key = settings.kili_api_key.get_secret_value() if settings.kili_api_key else ""
    webhook = settings.feedback.webhook_url.get_secret_value() if settings.feedback.webhook_url else ""
    secrets = [key, webhook, password_of(settings.redis), password_of(settings.broker)]
    configure_logging(level=settings.log.level, form=settings.log.format, secrets=secrets)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def fail(message: str) -> NoReturn:
    """End the command with an error."""
    raise click.ClickException(message)


def load_mappings(path: Path) -> Catalogue:
    """The shipped mappings and those of a file; a wrong one ends the command with its name, key and what is wrong."""
    from worker.formats import MappingError, extended
    from worker.formats.mappings import mapping_tables

    try:
        return extended(mapping_tables(path))
    except (MappingError, OSError) as error:
        fail(f"{path}: {error}")
