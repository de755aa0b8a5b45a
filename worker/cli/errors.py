"""What went wrong outside of the program, in one line; imported only once something has."""

from __future__ import annotations

import redis
from kombu.exceptions import OperationalError

from worker.embedded_redis import EmbeddedRedisError
from worker.formats import OutputError
from worker.kili import KiliError
from worker.kili.budget import BudgetTimeout
from worker.messages import MessageError
from worker.ontology import InterfaceError, OntologyError
from worker.projects import ProjectsFileError
from worker.review import PolicyError

OURS = (
    BudgetTimeout,
    EmbeddedRedisError,
    InterfaceError,
    MessageError,
    OntologyError,
    OutputError,
    PolicyError,
    ProjectsFileError,
)


def outside_words(error: Exception) -> str | None:
    """What a person reads of an error that files, servers or settings caused; None for a fault of the program."""
    match error:
        case KiliError():
            return f"Kili: {error}"
        case redis.RedisError() | OperationalError():
            return f"Redis cannot be asked: {error}" if isinstance(error, redis.RedisError) else f"the broker: {error}"
        case UnicodeDecodeError():
            return f"a file is no text in UTF-8: {error.reason} at byte {error.start}"
        case OSError():
            return f"{error.filename}: {error.strerror}" if error.filename else str(error)
        case _ if isinstance(error, OURS):
            return str(error)
    return None
