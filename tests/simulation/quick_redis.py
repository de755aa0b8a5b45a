"""fakeredis with less work for each command: what is stored and what is answered stays the same.

Single commands of a client go to the server as they are, not as bytes of the protocol that are parsed again; the
commands of :mod:`tests.simulation.quick_commands` work on its data at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import fakeredis
from fakeredis import _msgs
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket, _base
from fakeredis._socket._resp import extract_command
from fakeredis.commands_mixins.scripting_mixin import LUA_MODULE, _check_for_lua_globals, _convert_redis_arg
from redis.client import Pipeline

from tests.simulation.quick_commands import LEFT, quick


class QuickSocket(FakeSocket):
    """A connection's other end whose scripts cost less."""

    is_quick = True

    def _lua_redis_call(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        words = [one if type(one) is bytes else _convert_redis_arg(one) for one in args]
        if not self.is_quick:
            return super()._lua_redis_call(lua_runtime, expected_globals, op, *words)
        found = quick(self._db, op, words)
        if found is LEFT:
            name, rest = extract_command([op, *words])
            run, signature = self._name_to_func(name)
            if run is None:
                raise SimpleError(_msgs.WRONG_ARGS_MSG7)
            found = self._run_command(run, signature, rest, True)
        return self._convert_redis_result(lua_runtime, found)

    def _convert_redis_result(self, lua_runtime: Any, result: Any) -> Any:
        kind = type(result)
        if kind is bytes or kind is int:
            return result
        if kind is list:
            convert = self._convert_redis_result
            return lua_runtime.table_from([one if type(one) is bytes else convert(lua_runtime, one) for one in result])
        return False if result is None else super()._convert_redis_result(lua_runtime, result)

    def _convert_lua_result(self, result: Any, nested: bool = True) -> Any:
        kind = type(result)
        if kind is bytes or kind is int:
            return result
        if kind is not LUA_TABLE or result[1] is None:
            return super()._convert_lua_result(result, nested)
        found, number = [], 1
        while (one := result[number]) is not None:
            found.append(one if type(one) is bytes else self._convert_lua_result(one))
            number += 1
        return found

    def _script(self, sha: bytes, count: bytes, words: list[bytes]) -> Any:
        """Run a known script; it is compiled once, and globals are looked for in its end, not with each command."""
        server: Any = self._server
        text = server.script_cache.get(sha)
        if text is None or not count.isdigit() or int(count) > len(words):
            return LEFT
        runtime, keys = self._get_server_runtime(server), int(count)
        run = server.compiled.get(sha)
        if run is None:
            run = server.compiled[sha] = runtime.compile(text)
        server._lua_current_socket[0] = self
        self._script_resp = 2
        server._lua_set_keys_argv(runtime.table_from(words[:keys]), runtime.table_from(words[keys:]))
        try:
            with server.lock:
                result = run()
            if server.globals_of(runtime) != len(server._lua_expected_globals):
                _check_for_lua_globals(runtime, server._lua_expected_globals)
            return self._decode_result(self._convert_lua_result(result, nested=False))
        except SimpleError as error:
            return self._decode_result(error)
        except LUA_MODULE.LuaError as error:
            return self._decode_result(SimpleError(_msgs.SCRIPT_ERROR_MSG.format(sha.decode(), error)))
        finally:
            self._script_resp = None
            server.tidy()

    def _process_command(self, fields: list[bytes]) -> None:
        found = LEFT if self._queueing else self._quickly(fields)
        if found is LEFT:
            super()._process_command(fields)
        else:
            self.put_response(found)

    def queues(self, fields: list[bytes]) -> bool:
        """Whether a transaction would take the command."""
        name, words = extract_command(fields)
        try:
            self._name_to_func(name)[1].check_arity(words, self.version)
        except SimpleError:
            return False
        return True

    def answer(self, fields: list[bytes]) -> Any:
        """The answer to one command; an error as a value."""
        found = self._quickly(fields)
        if found is LEFT:
            super()._process_command(fields)
            return cast("Any", self.responses).get_nowait()
        return found

    def _quickly(self, fields: list[bytes]) -> Any:
        if not self.is_quick:
            return LEFT
        self._db.time = _base.time.time()
        name, words = fields[0], fields[1:]
        if name == b"EVALSHA":
            return self._script(words[0], words[1], words[2:])
        if name == b"EVAL":
            return self._script(cast("QuickServer", self._server).learned(words[0]), words[1], words[2:])
        found = quick(self._db, name, words)
        return found.value if type(found) is SimpleString else found


class QuickServer(fakeredis.FakeServer):
    """A server that keeps its compiled scripts, and looks for garbage of scripts seldom."""

    COLLECT_EVERY = 500

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.compiled: dict[bytes, Any] = {}
        self._shas: dict[bytes, bytes] = {}
        self._runs = 0
        self._count: Any = None

    def globals_of(self, runtime: Any) -> int:
        """How many globals scripts have."""
        if self._count is None:
            self._count = runtime.eval(COUNT_GLOBALS)
        return cast("int", self._count())

    def learned(self, text: bytes) -> bytes:
        """The name of a script that is known from now on."""
        sha = self._shas.get(text)
        if sha is None:
            sha = self._shas[text] = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        self.script_cache[sha] = text
        return sha

    def tidy(self) -> None:
        """A script has run."""
        self._runs += 1
        if self._runs % self.COLLECT_EVERY == 0:
            cast("Any", self)._lua_runtime.execute("collectgarbage()")


COUNT_GLOBALS = """
function()
  local count = 0
  for _ in pairs(_G) do count = count + 1 end
  return count
end"""
LUA_TABLE = type(LUA_MODULE.LuaRuntime().table())


class QuickConnection(FakeRedisConnection):
    """A connection whose other end is quick."""

    def around(self, _name: str) -> AbstractContextManager[None]:
        """What happens to what is sent before it has its effect, and after."""
        return nullcontext()

    def answers(self, name: str, commands: Sequence[tuple[Any, Any]]) -> list[Any] | None:
        """The answers to commands that are sent together; None when they are left to fakeredis."""
        encode, end = self.encoder.encode, self._sock
        fields = [_fields(args, encode) for args, _ in commands]
        if not end.is_quick or (name == "MULTI" and not all(map(end.queues, fields))):
            return None
        with self.around(name):
            return [end.answer(one) for one in fields]

    def _connect(self) -> FakeSocket:
        return QuickSocket(
            self._server,
            client_class=self._client_class,
            db=self.db,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )


def _fields(args: Sequence[Any], encode: Callable[[Any], bytes]) -> list[bytes]:
    """A command as the server gets it."""
    first, *rest = args
    words = [one if type(one) is bytes else one.encode() if type(one) is str else encode(one) for one in rest]
    return [*first.encode().split(), *words]


class QuickPipeline(Pipeline):
    """Commands that go to the server together, as they are; those after a WATCH and wrong ones as redis-py does it."""

    def _execute_pipeline(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        found = connection.answers(commands[0][0][0].partition(" ")[0], commands)
        if found is None:
            return super()._execute_pipeline(connection, commands, raise_on_error)
        return self._all_parsed(found, commands, raise_on_error)

    def _execute_transaction(self, connection: Any, commands: Any, raise_on_error: bool) -> Any:
        found = None if self.watching else connection.answers("MULTI", commands)
        if found is None:
            return super()._execute_transaction(connection, commands, raise_on_error)
        return self._all_parsed(found, commands, raise_on_error)

    def _all_parsed(self, found: list[Any], commands: Any, raise_on_error: bool) -> list[Any]:
        if raise_on_error:
            self.raise_first_error(commands, found)
        return [self._parsed(one, *command) for one, command in zip(found, commands, strict=True)]

    def _parsed(self, found: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        parse = self.response_callbacks.get(args[0])
        options.pop("keys", None)
        return found if parse is None or isinstance(found, Exception) else parse(found, **options)


class QuickRedis(fakeredis.FakeRedis):
    """A client whose single commands need no connection; pipelines take one."""

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """As redis-py's."""
        return QuickPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    _end: QuickSocket | None = None

    def around(self, _name: str) -> AbstractContextManager[None]:
        """What happens to a call before it has its effect, and after."""
        return nullcontext()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py does it, with its conversions of arguments and answers."""
        if self._end is None:
            connection = cast("QuickConnection", self.connection_pool.make_connection())
            self._end = connection._connect()
            self._encode = self.get_encoder().encode
        first = args[0]
        with self.around(first.partition(" ")[0]):
            found = self._end.answer(_fields(args, self._encode))
        if isinstance(found, Exception):
            raise found
        parse = self.response_callbacks.get(first)
        options.pop("keys", None)
        return found if parse is None else parse(found, **options)
