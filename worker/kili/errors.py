"""What can go wrong in a call to Kili, by what the caller should do about it.

    KiliError
    ├── TransientError          this attempt was certainly not applied: send again later
    │   ├── ConnectFailed       no connection (refused, DNS, TLS, proxy tunnel)
    │   ├── LocalFault          this process or its machine is at fault: sockets, memory, name service, certificates
    │   ├── NotSent             the call budget gave no call in time, or the worker is stopping
    │   ├── RateLimited         429
    │   ├── Unauthorized        401: passing on Kili, also with a valid key
    │   ├── AddressRefused      a bucket refuses a signed URL: a new URL may pass, the same one will not
    │   ├── Unavailable         refused before any resolver ran (521, 503 of a proxy that reached no backend, ...)
    │   │   └── CompressionRefused  a gzipped body was not understood; the client resends it plain by itself
    │   └── UnknownOperation    the server does not know our document: another API version, or a rolling deploy
    ├── UnknownOutcome          may have been applied: send again, safe because every write is idempotent
    │   ├── TimedOut            no answer in time (ours, or a gateway's 504 and 524): a lighter request may pass
    │   ├── WorkerFault         our own code failed while it made the call or read the answer
    │   └── ServerFault         the application itself answered with an internal error
    ├── RefusedItems            an item of the request is at fault: bisect, the culprit is a dead letter
    │   └── TooLarge            413: send fewer bytes at once
    ├── RefusedProject          no access to the project, or it is gone: pause the project
    └── RefusedKey              the API key is expired, revoked or not entitled: pause the endpoint

For a query :class:`UnknownOutcome` says only that there was no usable answer.
"""

from __future__ import annotations

MAX_MESSAGE = 2000
"""Longest excerpt of a server's words that an error keeps, in characters."""


class KiliError(Exception):
    """A call to Kili failed.

    ``operation`` is the root field that was called, ``project_id`` the project it was for, ``status`` the HTTP status
    (None without an answer), ``server_message`` the server's own words (at most 2,000 characters, free of the API key),
    ``code`` the server's short name for the error (``jsonResponseMalformed``, ``AssetAlreadyLocked``,
    ``INTERNAL_SERVER_ERROR``), ``retry_after`` the seconds the server asked to wait. ``maybe_applied`` tells whether
    this attempt or an earlier one of the same call may have taken effect.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        status: int | None = None,
        server_message: str = "",
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.status = status
        self.server_message = server_message[:MAX_MESSAGE]
        self.code = code
        self.retry_after = retry_after
        self.project_id: str | None = None
        self.maybe_applied = isinstance(self, UnknownOutcome)


class TransientError(KiliError):
    """This attempt was certainly not applied (``maybe_applied`` tells of the attempts before it)."""


class ConnectFailed(TransientError):
    """No connection could be made."""


class LocalFault(TransientError):
    """The call never left for want of something on our own side; it says nothing about Kili."""


class NotSent(TransientError):
    """The call never left: no call was free in the budget in time, or the worker is stopping."""


class RateLimited(TransientError):
    """The server counted too many calls (429)."""


class Unauthorized(TransientError):
    """The authentication layer answered 401, which Kili also does for valid keys now and then."""


class AddressRefused(TransientError):
    """A bucket does not take this signed URL: expired, gone, or not for this content."""


class Unavailable(TransientError):
    """Something in front of the application refused the call before it ran."""


class CompressionRefused(Unavailable):
    """A gzipped body was refused for its encoding."""


class UnknownOperation(TransientError):
    """The server does not know the document that was sent."""


class UnknownOutcome(KiliError):
    """The call may or may not have been applied."""


class TimedOut(UnknownOutcome):
    """No answer came in time."""


class WorkerFault(UnknownOutcome):
    """Our own code failed while it made a call or read its answer: an item that it was not written for may do that."""


class ServerFault(UnknownOutcome):
    """The application answered with an internal error of its own.

    ``may_be_items``: the error is so general that an item may be behind it. It usually passes; one that stays while
    other requests go through is worth bisecting.
    """

    may_be_items = False


class RefusedItems(KiliError):
    """The server refused the request because of something in it; the other items may or may not have been applied.

    ``item_indexes`` are positions in the sequence the caller passed, ``item_ids`` their asset ids, where the server
    named any: hints on whom to isolate first, not a conviction. ``already_exists``: the server says so of an asset;
    read back before judging. ``access``: the server speaks of missing rights or a missing object, which the project
    may also cause; ask for the project's interface before judging.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str | None = None,
        status: int | None = None,
        server_message: str = "",
        code: str | None = None,
        item_indexes: tuple[int, ...] = (),
        item_ids: tuple[str, ...] = (),
        access: bool = False,
        already_exists: bool = False,
    ) -> None:
        super().__init__(message, operation=operation, status=status, server_message=server_message, code=code)
        self.item_indexes = item_indexes
        self.item_ids = item_ids
        self.access = access
        self.already_exists = already_exists


class TooLarge(RefusedItems):
    """The request body is larger than the server takes (413)."""


class RefusedProject(KiliError):
    """The key has no access to the project, or the project does not exist."""


class RefusedKey(KiliError):
    """The API key is not accepted: expired, revoked or without the right to call."""
