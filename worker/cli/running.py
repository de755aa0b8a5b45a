"""What commands do alike: read settings, write files, say errors in one line, trace, and end by a signal."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from worker.formats import Catalogue
    from worker.settings.tree import Settings
    from worker.tracing import Tracer


def outside_message(error: Exception) -> str | None:
    """What a person reads of an error that files, servers or settings caused; None for a fault of the program."""
    import redis
    from kombu.exceptions import OperationalError

    from worker.kili import KiliError

    match error:
        case KiliError():
            return f"Kili: {error}"
        case redis.RedisError() | OperationalError():
            return f"Redis cannot be asked: {error}" if isinstance(error, redis.RedisError) else f"the broker: {error}"
        case UnicodeDecodeError():
            return f"a file is no text in UTF-8: {error.reason} at byte {error.start}"
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else str(error)
        case _ if isinstance(error, _ours()):
            return str(error)
    return None


def _ours() -> tuple[type[Exception], ...]:
    """Errors whose words say it all; imported only where one has come, for most commands need few of these packages."""
    from worker.contract import MessageError
    from worker.environment.embedded_redis import EmbeddedRedisError
    from worker.formats import OutputError
    from worker.kili.budget import BudgetTimeout
    from worker.ontology import InterfaceError, OntologyError
    from worker.projects.configuration import ProjectsFileError
    from worker.review import PolicyError

    return (
        BudgetTimeout,
        EmbeddedRedisError,
        InterfaceError,
        MessageError,
        OntologyError,
        OutputError,
        PolicyError,
        ProjectsFileError,
    )


class OutputFile(click.Path):
    """A file that can be written: asked before the work, not after it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; refused where its folder is missing or not to be written to."""
        if value == "-":
            self.fail("standard output is not possible here; name a file", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}", param, ctx)
        if not path.exists() and not os.access(path.parent, os.W_OK):
            self.fail(f"the folder {str(path.parent)!r} cannot be written to", param, ctx)
        return path


class OutputPlace(OutputFile):
    """A file that can be written, or a folder: one that is there, or a name that ends with a slash."""

    def __init__(self) -> None:
        super().__init__()
        self.dir_okay = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, of a folder that is there or of a file."""
        path = Path(str(super().convert(value, param, ctx)))
        if str(value).endswith("/"):
            try:
                path.mkdir(exist_ok=True)
            except OSError as error:
                self.fail(f"the folder {str(path)!r} cannot be made: {error.strerror}", param, ctx)
        return path


def load_settings() -> Settings:
    """Read the settings; a wrong one ends the command with its name and what is wrong."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from worker.settings.tree import Settings, mistakes

    try:
        return Settings()
    except (ValidationError, SettingsError) as error:
        found = mistakes(error)
        joined = found[0] if len(found) == 1 else "\n".join(["", *(f"  {one}" for one in found)])
        raise click.ClickException(f"settings are wrong: {joined}") from None
    except OSError as error:
        raise click.ClickException(f"a settings file cannot be read: {error.filename}: {error.strerror}") from None


def start_logging(settings: Settings) -> None:
    """Logs as configured, with every secret of the settings cut out."""
    from worker.environment.logs import configure_logging, password_of

    key = settings.kili_api_key.get_secret_value() if settings.kili_api_key else ""
    webhook = settings.feedback.webhook_url.get_secret_value() if settings.feedback.webhook_url else ""
    secrets = [key, webhook, password_of(settings.redis), password_of(settings.broker)]
    secrets += [secret.get_secret_value() for secret in (*settings.serve.tokens, *settings.serve.hmac_keys)]
    secrets += [token.get_secret_value() for token in (settings.page.token, settings.page.read_token) if token]
    secrets += [settings.kafka.sasl_password.get_secret_value()] if settings.kafka.sasl_password else []
    secrets += [password_of(settings.rabbitmq.url.get_secret_value())] if settings.rabbitmq.url else []
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


@contextmanager
def traced(settings: Settings) -> Iterator[Tracer]:
    """The tracer that the settings ask for; what is left of its spans is sent at the end."""
    from worker.wiring import tracer_of

    try:
        tracer = tracer_of(settings)
    except ValueError as error:
        fail(str(error))
    try:
        yield tracer
    finally:
        tracer.close()


ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_by_signals(end: Callable[[], object], numbers: Sequence[signal.Signals] = ENDING) -> Iterator[None]:
    """Let signals, SIGTERM and SIGINT by default, call ``end`` meanwhile; afterwards they do what they did before."""
    before = {number: signal.signal(number, lambda *_: end()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def count_of(count: int, thing: str) -> str:
    """``1 prediction``, ``2 predictions``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
