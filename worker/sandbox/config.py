"""The sandbox's options: where it listens, and the switches for what is unknown about the real Kili."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from ipaddress import ip_address
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

DEFAULT_API_KEY = "sandbox-key"


class ConfigError(ValueError):
    """An option has a value the sandbox cannot use; the message names the option and the fix."""


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """All options of a sandbox; durations in seconds.

    Raises ConfigError when a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    #: Listen beyond this machine.
    expose: bool = False
    api_keys: tuple[str, ...] = (DEFAULT_API_KEY,)
    #: Rules in force from the start, in the format of `worker.sandbox.faults`.
    faults: tuple[Mapping[str, Any], ...] = ()
    #: A directory served under /files/.
    files: str | None = None
    #: A file that receives the real port.
    port_file: str | None = None
    seed: int = 0
    #: tutorial: (1 + J) / 2; documented: J. J is the overlap of two answers.
    agreement: Literal["tutorial", "documented"] = "tutorial"
    #: How long after a label its marks appear.
    mark_delay: float = 0.0
    #: How long an import in the background takes.
    import_delay: float = 0.2
    #: What happens to an asset whose id exists already.
    resent_id: Literal["upsert", "refuse"] = "upsert"
    #: Whether the good items of a refused batch are kept.
    batches: Literal["atomic", "partial"] = "atomic"
    #: Which json_responses are taken: strict holds them to all that is known, lenient to job and category names.
    validation: Literal["strict", "lenient"] = "strict"
    #: Whether a prediction that leaves a required job open is refused (when validation is strict).
    open_jobs: Literal["refuse", "accept"] = "refuse"
    #: How imports may come: in any way, or (strict) only as Kili's SDK sends them.
    imports: Literal["lenient", "strict"] = "lenient"
    #: Where labels are answered: in `jsonResponse`, or in a file that `jsonResponseUrl` names.
    label_json: Literal["inline", "url"] = "inline"
    #: How many mutations a document may hold.
    mutations: Literal["many", "one"] = "many"
    #: How old the state is that queries see.
    read_lag: float = 0.0
    #: Calls a key may make in any minute; 0 for no limit.
    calls_per_minute: int = 0
    #: Added to every call.
    latency: float = 0.0

    def __post_init__(self) -> None:
        """Check every option."""
        self._check_host()
        if not self.api_keys or not all(self.api_keys):
            raise ConfigError("api_keys: give at least one key, none of them empty")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port: {self.port} is not in 0..65535")
        for name in ("mark_delay", "import_delay", "read_lag", "latency", "calls_per_minute"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
                raise ConfigError(f"{name}: {value!r} is not a number of at least 0")
        self._check_choices()

    def _check_host(self) -> None:
        if not self.expose and not is_loopback(self.host):
            raise ConfigError(f"host: {self.host} is not a loopback address; add --expose if that is meant")

    def _check_choices(self) -> None:
        types = get_type_hints(type(self))
        for name, kind in types.items():
            allowed = get_args(kind) if get_origin(kind) is Literal else (getattr(self, name),)
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name}: {getattr(self, name)!r} is none of {', '.join(allowed)}")

    def switched(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with some switches changed; raises ConfigError for anything else."""
        unknown = sorted(set(changes) - SWITCHES)
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such switch; there are {', '.join(sorted(SWITCHES))}")
        return replace(self, **changes)

    def to_json(self) -> str:
        """Return all options as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read options written by `to_json`; missing ones have their defaults."""
        options = json.loads(text)
        unknown = sorted(set(options) - {option.name for option in fields(cls)})
        if unknown:
            raise ConfigError(f"{unknown[0]}: no such option")
        for name in ("api_keys", "faults"):
            if name in options:
                options[name] = tuple(options[name])
        return cls(**options)


#: Options that can change while the sandbox runs.
SWITCHES = frozenset(
    {
        "agreement",
        "mark_delay",
        "import_delay",
        "resent_id",
        "batches",
        "validation",
        "open_jobs",
        "imports",
        "label_json",
        "mutations",
        "read_lag",
        "calls_per_minute",
        "latency",
    }
)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
