"""What a sandbox is run with, and a sandbox in a child process, for tests and demos.

The options say where it listens, and are the switches for what is unknown about the real Kili.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from ipaddress import ip_address
from types import TracebackType
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


#: How long a sandbox may take to start, and to stop before it is killed, in seconds.
START_LIMIT = 60.0
STOP_LIMIT = 5.0


class SandboxProcess:
    """Runs `python -m worker.sandbox` on a free port until stopped; ends by itself with its parent."""

    def __init__(
        self,
        config: SandboxConfig | None = None,
        *,
        spawn: Callable[..., subprocess.Popen[str]] = subprocess.Popen,
        **options: Any,
    ) -> None:
        """Start with a config, or with single options of `SandboxConfig`; wait until it listens.

        `spawn` starts the process, with the arguments of `subprocess.Popen`.

        Raises RuntimeError when it ends instead, with its own message on standard error.
        """
        self.config = replace(config or SandboxConfig(), **options)
        self._child = spawn(
            [sys.executable, "-m", "worker.sandbox", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.endpoint = self._start()

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self.config.api_keys[0]

    @property
    def base_url(self) -> str:
        """The server's address without a path."""
        return self.endpoint.partition("/api/")[0]

    @property
    def admin_url(self) -> str:
        """The address of the admin surface; append /state, /calls, /faults, /config."""
        return f"{self.base_url}/sandbox"

    @property
    def pid(self) -> int:
        """The id of the child process."""
        return self._child.pid

    def stop(self) -> None:
        """End the child and wait for it."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            self._child.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """End the child at once, as a crash would."""
        self._child.kill()
        self._child.wait()
        self._close()

    def __enter__(self) -> Self:
        """Return the running sandbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the sandbox."""
        self.stop()

    def _start(self) -> str:
        stdin = self._child.stdin
        if stdin is None:
            raise RuntimeError("the child has no standard input")
        stdin.write(f"{self.config.to_json()}\n")
        stdin.flush()
        endpoint = self._first_line(time.monotonic() + START_LIMIT)
        if not endpoint:
            self.kill()
            raise RuntimeError(f"the sandbox did not start; it ended with {self._child.returncode}")
        return endpoint

    def _first_line(self, deadline: float) -> str:
        with selectors.DefaultSelector() as selector:
            if self._child.stdout is None:
                return ""
            selector.register(self._child.stdout, selectors.EVENT_READ)
            ready = selector.select(deadline - time.monotonic())
            return self._child.stdout.readline().strip() if ready else ""

    def _close(self) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
