"""Results that a message only points to: read from the places that the settings allow, and from nowhere else."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from worker.contract import MessageError, ReadingLimits, read_json
from worker.environment import clock
from worker.environment.connections import trusted
from worker.projects.outputs import UnreadableOutput


def allowed_path(path: str, roots: Sequence[Path]) -> Path | None:
    """The file with links and ``..`` resolved, or None when it is not below one of the roots, or is no path at all."""
    try:
        resolved = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL, or links that lead to themselves
        return None
    return resolved if any(resolved.is_relative_to(root.resolve()) for root in roots) else None


MACHINE_ERRORS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN}
)


def is_machine_error(error: OSError) -> bool:
    """Whether a file cannot be read for want of something of the machine's or the file server's, not of the file's."""
    return error.errno in MACHINE_ERRORS


AWAITED = "the result is elsewhere"
"""The review reason of a prediction that waits for its result."""

SETTING = "WORKER_INTAKE__RESULT_PLACES"
TIMEOUT_SECONDS = 10.0
READABLE = ("https", "http", "file")
PASSING = frozenset({401, 403, 408, 425, 429})
"""Refusals that may pass, beside those of 500 and above: of keys and rights that an operator can mend, and of load."""


class ResultUnavailable(Exception):
    """The place cannot be read at the moment; it may be later."""

    def __init__(self, location: str, problem: str) -> None:
        super().__init__(f"{location} {problem}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Place:
    """Locations that begin with ``prefix`` are read below ``address``; both end with a slash."""

    prefix: str
    address: str

    @classmethod
    def parse(cls, rule: str) -> Place:
        """Read a rule: ``https://host/folder/``, ``file:///folder/``, or ``s3://bucket/folder/=`` one of those.

        Raises:
            ValueError: a part is missing, ends without a slash, or cannot be read from.
        """
        prefix, equals, address = rule.partition("=")
        target = address if equals else prefix
        if not (prefix.endswith("/") and target.endswith("/") and urlsplit(prefix).scheme):
            raise ValueError(f"{rule!r} must be scheme://place/ or scheme://place/=address/, each ending with a slash")
        parts = urlsplit(target)
        if parts.scheme not in READABLE or bool(parts.netloc) == (parts.scheme == "file"):
            fix = f"write {prefix}=https://…/ or {prefix}=file:///…/"
            raise ValueError(f"{target!r} cannot be read from; {fix}")
        return cls(prefix, target)


class ResultPlaces:
    """The places that results may be read from.

    Args:
        rules: as ``Place.parse`` reads them.
    """

    def __init__(self, rules: Sequence[str] = ()) -> None:
        self._places = tuple(Place.parse(rule) for rule in rules)

    @property
    def folders(self) -> list[Path]:
        """The local folders among the places."""
        return [_local(place.address) for place in self._places if urlsplit(place.address).scheme == "file"]

    def address(self, location: str) -> str:
        """Where a location is read.

        Raises:
            UnreadableOutput: it is not below an allowed place (``result_place_refused``).
        """
        for place in self._places:
            rest = location.removeprefix(place.prefix)
            if rest != location and rest and not _climbs(rest):
                return f"{place.address}{rest if place.address == place.prefix else quote(rest)}"
        problem = f"is at {location}, which is not below an allowed place"
        raise _unreadable(problem, f"add its place to {SETTING} and replay", "result_place_refused")


@dataclass(frozen=True, slots=True)
class Result:
    """A result that was read: its JSON, and its size in bytes."""

    value: Any
    size: int


class ResultReader:
    """Reads results; safe for several threads.

    Args:
        places: allowed ones.
        limits: of one result.
        http: for ``http`` and ``https``; redirects are not followed.
        timeout: seconds for each of connecting, waiting for the answer, and reading it.
    """

    def __init__(
        self,
        places: ResultPlaces,
        *,
        limits: ReadingLimits,
        http: httpx.Client | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._places = places
        self._limits = limits
        self._timeout = timeout
        self._http = http or httpx.Client(verify=trusted(), follow_redirects=False, timeout=timeout)

    def read(self, location: str) -> Result:
        """The result at a location.

        Raises:
            ResultUnavailable: it may be there later.
            UnreadableOutput: the place is not allowed, there is nothing, it is too large, or no JSON.
        """
        address = self._places.address(location)
        is_file = urlsplit(address).scheme == "file"
        body = self._file(location, _local(address)) if is_file else self._get(location, address)
        try:
            return Result(read_json(body, self._limits), len(body))
        except MessageError as error:
            problem = f"at {location} {error.problem}"
            raise _unreadable(problem, "have the model answer in JSON", "result_unreadable") from error

    def _file(self, location: str, path: Path) -> bytes:
        allowed = allowed_path(str(path), self._places.folders)
        if allowed is None:
            raise _unreadable(
                f"is at {location}, a link out of the allowed folder", "copy it there", "result_place_refused"
            )
        try:
            if not allowed.is_file():
                raise _missing(location, "there is no such file")
            with allowed.open("rb") as file:
                body = file.read(self._limits.max_bytes + 1)
        except OSError as error:
            raise ResultUnavailable(location, f"cannot be read: {error.strerror or error}") from error
        self._check_size(location, len(body))
        return body

    def _get(self, location: str, address: str) -> bytes:
        try:
            with self._http.stream("GET", address) as answer:
                self._check(location, answer.status_code)
                return self._body(location, answer)
        except httpx.HTTPError as error:
            raise ResultUnavailable(location, f"cannot be read: {type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise _missing(location, str(error)) from error

    def _body(self, location: str, answer: httpx.Response) -> bytes:
        end = clock.monotonic() + self._timeout
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            self._check_size(location, len(body))
            if clock.monotonic() > end:
                raise ResultUnavailable(location, f"was not read within {self._timeout:g} s")
        return bytes(body)

    def _check(self, location: str, status: int) -> None:
        if status in PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ResultUnavailable(location, f"cannot be read: the server answered {status}")
        if status != httpx.codes.OK:
            raise _missing(location, f"the server answered {status}")

    def _check_size(self, location: str, size: int) -> None:
        if size > self._limits.max_bytes:
            problem = f"at {location} is larger than {self._limits.max_bytes:,} bytes"
            raise _unreadable(problem, "raise WORKER_INTAKE__MAX_MESSAGE_BYTES", "result_too_large")


def unavailable(error: ResultUnavailable, seconds: float) -> UnreadableOutput:
    """The end of the wait for a result that did not come."""
    return _unreadable(
        f"at {error}, for {seconds:.0f} s now", f"check the place in {SETTING} and replay", "result_unavailable"
    )


def _missing(location: str, why: str) -> UnreadableOutput:
    return _unreadable(f"is not at {location}: {why}", f"check the place in {SETTING} and replay", "result_missing")


def _unreadable(problem: str, fix: str, cause: str) -> UnreadableOutput:
    return UnreadableOutput("output.payload", f"the result {problem}", fix, cause)


def _local(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _climbs(rest: str) -> bool:
    """Whether a path leads up, however it is written."""
    plain = unquote(unquote(rest)).replace("\\", "/")
    return ".." in plain.split("/") or "\x00" in plain
