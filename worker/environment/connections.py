"""What a process stands on: clients of Redis, the certificate authorities that it trusts, threads.

Clients of Redis are made one way: binary answers, limits on every wait, a few quick repeats.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from hiredis import pack_command
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

if TYPE_CHECKING:
    import httpx

SOCKET_SECONDS = 8.0
REPEATS = 2
"""All attempts together end before the heartbeat counts as stale."""

GREETING_SECONDS = 3.0
"""So soon a Redis answers the first question of a client that has not spoken to it before."""

WHERE = "check REDIS_URL and CELERY_BROKER_URL"
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+socket")
REDIS_FORM = (
    "write redis://[user:password@]host:port/number, rediss://… or unix:///path?db=number, "
    "with / # ? @ and % in a password escaped"
)

INSIST = "redis.call('DEL', KEYS[1] .. ':nothing') return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"


def connect(url: str) -> redis.Redis:
    """A client for a ``redis://``, ``rediss://``, ``unix://`` or ``redis+socket://`` URL; connects when first used.

    Raises:
        ValueError: the URL is no such URL.
    """
    client: redis.Redis = redis.Redis.from_url(
        _for_client(url),
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        health_check_interval=30,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), REPEATS),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        client_name="prediction-worker",
        redis_connect_func=_Greeting(url),
        command_packer=_Packer(),
    )
    return client


class _Packer:
    """Packs commands; those that run a script, with thousands of arguments, without a look at the type of each."""

    def __init__(self) -> None:
        self._any = HiredisRespSerializer()

    def pack(self, *args: Any) -> list[bytes]:
        """A command as the server reads it; raises redis.DataError for what cannot be sent."""
        if args[0] == "EVALSHA":
            try:
                return [pack_command(args)]
            except TypeError:
                pass  # a type that is to be converted first, or none
        packed: list[bytes] = self._any.pack(*args)
        return packed


class NoRedis(redis.RedisError):
    """What listens at the address is no Redis, or says nothing; trying again at once would not help."""

    def __str__(self) -> str:
        return f"{super().__str__()}; {WHERE}"


class _Greeting:
    """Begins the connections of a client; before the first, it looks whether a Redis is there.

    Whatever else listens may take a connection and say nothing, which would use up every limit and every repeat.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_known = False

    def __call__(self, connection: redis.connection.AbstractConnection) -> None:
        """Begin a connection that has just been opened. Raises NoRedis."""
        if not self._is_known:
            self._look()
            self._is_known = True
        connection.on_connect()  # type: ignore[no-untyped-call]

    def _look(self) -> None:
        limits = {"socket_timeout": GREETING_SECONDS, "socket_connect_timeout": GREETING_SECONDS}
        with redis.Redis.from_url(_for_client(self._url), retry=Retry(NoBackoff(), 0), **limits) as client:
            try:
                client.ping()
            except redis.TimeoutError as error:
                raise NoRedis(f"connected, but not answered within {GREETING_SECONDS:g} s") from error
            except redis.InvalidResponse as error:
                raise NoRedis(f"what answers there is no Redis: {error}") from error
            except redis.RedisError:
                return  # a Redis, with words of its own: the connection itself meets them again


def check_redis_url(url: str) -> None:
    """Refuse what no client could use; nothing is connected to.

    Raises:
        ValueError: with the fix, and without any part of the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        number = parts.path.strip("/") if parts.scheme in ("redis", "rediss") else _database(url)
        usable = parts.scheme in REDIS_SCHEMES and parts.port != 0 and (not number or number.isdecimal())
        if usable:
            connect(url).connection_pool.make_connection()
    except (ValueError, TypeError, redis.RedisError):
        usable = False
    if not usable:
        raise ValueError(f"no URL of a Redis; {REDIS_FORM}")


def check_broker_url(url: str) -> None:
    """Refuse what Celery could not use; nothing is connected to.

    Raises:
        ValueError: with the fix, and without any part of the URL but its scheme.
    """
    from kombu.transport import TRANSPORT_ALIASES

    scheme = url.partition("://")[0]
    if is_redis(url):
        check_redis_url(url)
        return
    try:
        known = "://" in url and scheme.partition("+")[0] in TRANSPORT_ALIASES and urlsplit(url).port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError(
            "no URL of a broker that Celery knows; write redis://host:port/number or amqp://user:password@host//"
        )


def is_redis(url: str) -> bool:
    """Whether the URL names a Redis."""
    return url.partition("://")[0] in REDIS_SCHEMES


def celery_url(url: str) -> str:
    """The same broker as kombu writes it, which knows a Unix socket under another scheme and parameter."""
    if url.partition("://")[0] != "unix":
        return url
    return _rewritten(url, "redis+socket", {"db": "virtual_host"})


def _for_client(url: str) -> str:
    if url.partition("://")[0] != "redis+socket":
        return url
    return _rewritten(url, "unix", {"virtual_host": "db"})


def _rewritten(url: str, scheme: str, names: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = {names.get(name, name): value for name, value in parse_qsl(parts.query)}
    if "db" in query:
        query["db"] = query["db"].strip("/")  # Celery takes a virtual host with a slash
    return f"{scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(query, safe='/')}" if query else "")


def _database(url: str) -> str:
    return dict(parse_qsl(urlsplit(_for_client(url)).query)).get("db", "")


def broker_ssl(url: str) -> dict[str, Any] | None:
    """Celery's ``broker_use_ssl`` for a broker URL; the URL's own ``ssl_…`` parameters go first.

    Without it kombu takes any certificate of a ``rediss://`` broker, and one of any host for an ``amqps://`` broker.
    """
    if url.startswith("amqps://"):
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": urlsplit(url).hostname}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None


class WorkerScript:
    """A Lua script that means the same on every server, and runs although the server's scripts were flushed.

    Args:
        client: of the server.
        text: of the script.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str] = (), args: Iterable[Any] = ()) -> Any:
        """Run it.

        Raises:
            redis.OutOfMemoryError: a full memory refused its first write; nothing was changed.
        """
        arguments = (*keys, *args)
        with _typed_errors():
            return self._run(len(keys), arguments)

    def start(self, keys: Sequence[str] = (), args: Iterable[Any] = ()) -> Callable[[], Any]:
        """Have the server run it while this process does something else; the call of the result waits for the end.

        That call must be made, once, and raises what running it would raise. A connection that fails meanwhile has
        the script run again, as with any command.
        """
        arguments = (*keys, *args)

        def run() -> Any:
            return self(keys, arguments[len(keys) :])

        if type(self._client) is not redis.Redis:  # one that does more with a command than to send it
            found = run()
            return lambda: found
        try:
            connection = self._sent(len(keys), arguments)
        except (redis.ConnectionError, redis.TimeoutError):
            return run
        return lambda: self._answer(connection, run)

    def _sent(self, keys: int, arguments: tuple[Any, ...]) -> Any:
        """The connection on which the answer will come."""
        connection: Any = self._client.connection_pool.get_connection()
        try:
            connection.send_command("EVALSHA", self._sha, keys, *arguments)
        except BaseException:
            connection.disconnect()
            self._client.connection_pool.release(connection)
            raise
        return connection

    def _answer(self, connection: Any, run: Callable[[], Any]) -> Any:
        try:
            with _typed_errors():
                return connection.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            connection.disconnect()
        except redis.exceptions.NoScriptError:
            pass
        except redis.ResponseError:
            raise
        except BaseException:
            connection.disconnect()  # its answer is still to come
            raise
        finally:
            self._client.connection_pool.release(connection)
        return run()

    def _run(self, keys: int, arguments: tuple[Any, ...]) -> Any:
        try:
            # a third less than what the typed method costs, which looks at its arguments first
            return self._client.execute_command("EVALSHA", self._sha, keys, *arguments)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoScriptError:
            return self._client.eval(self._text, keys, *arguments)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Redis 6.2 wraps the error of a command within a script in one of its own, which has no type."""
    try:
        yield
    except redis.ResponseError as error:
        if isinstance(error, redis.OutOfMemoryError) or "-OOM " not in str(error):
            raise
        raise redis.OutOfMemoryError(str(error).partition("-OOM ")[2]) from error


def script_of(client: redis.Redis, package: str, name: str) -> WorkerScript:
    """The Lua script ``name`` of a package, behind the prelude that writes numbers the same way for every server."""
    return WorkerScript(client, _text(__package__, "prelude.lua") + _text(package, name))


@cache
def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")


def insist(client: redis.Redis, command: str, key: str, *args: str | bytes | float) -> Any:
    """Run one small write although the memory of Redis is full.

    With ``noeviction`` a full memory refuses the first write of a script alone, unless that one frees memory. For what
    is small, bounded, and needed to deliver, which frees memory. ``client`` may be a pipeline.
    """
    return client.eval(INSIST, 1, key, command, *args)


def same_server(one: redis.Redis, other: redis.Redis) -> bool:
    """Whether two clients speak to the same database of the same server."""
    return _identity(one) == _identity(other)


def _identity(client: redis.Redis) -> tuple[object, ...]:
    info = client.info("server")
    return (info["run_id"], client.connection_pool.connection_kwargs.get("db", 0))


@cache
def trusted() -> ssl.SSLContext:
    """The TLS context of every HTTP client: httpx's own choice, with ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``."""
    import httpx  # only those who call over HTTP need it

    return httpx.create_ssl_context()


def threads(most: int, name: str) -> Executor:
    """A pool of at most so many threads."""
    return ThreadPoolExecutor(most, thread_name_prefix=name)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a worker runs; the simulation gives a worker others, and no thread.

    Attributes:
        connect: opens a client of the Redis at a URL.
        executor: what runs side by side, by most at once and name.
        http: what calls go through instead of connections of the worker's own.
        has_threads: whether locks are renewed from a thread; without one, by ``LeaseKeeper.renew``.
    """

    connect: Callable[[str], redis.Redis] = connect
    executor: Callable[[int, str], Executor] = threads
    http: httpx.Client | None = None
    has_threads: bool = True
    name: str = ""

    @property
    def worker(self) -> str:
        """What the worker is called in the fleet; by default its host and process."""
        return self.name or f"{socket.gethostname()}-{os.getpid()}"


MACHINE = Environment()
