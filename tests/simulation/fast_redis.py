"""A fakeredis that costs less: the same commands, without the checks that only a server for anybody needs.

Scripts make most of the calls of a simulation. The worker's scripts set no globals, speak RESP2, and nobody subscribes
to keys; tests run the same scripts on real servers and on fakeredis as it is.
"""

from __future__ import annotations

from typing import Any

from fakeredis import FakeServer, _msgs
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis._commands import COMMANDS_WITH_SUB, Signature
from fakeredis._core import CommandItem
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis._socket._resp import convert_to_resp2

CONTAINERS = frozenset(name.encode() for name in COMMANDS_WITH_SUB)


class _Lua:
    """A Lua runtime that compiles each script once, and does not look for garbage after each."""

    COLLECT_EVERY = 500

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[Any, Any] = {}
        self._runs = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, script: Any) -> Any:
        """Run a script."""
        if script == "collectgarbage()":
            self._runs += 1
            return self._runtime.execute(script) if self._runs % self.COLLECT_EVERY == 0 else None
        run = self._compiled.get(script)
        if run is None:
            run = self._compiled[script] = self._runtime.compile(script)
        return run()


class Server(FakeServer):
    """A server whose scripts cost less."""

    _lua: _Lua

    @property
    def _lua_runtime(self) -> _Lua:
        return self._lua

    @_lua_runtime.setter
    def _lua_runtime(self, runtime: Any) -> None:
        self._lua = _Lua(runtime)


class Socket(FakeSocket):
    """The connection of a client."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known: dict[bytes, tuple[Any, Signature]] = {}

    def sendall(self, data: bytes) -> None:
        """Take whole commands apart at once."""
        at, end = 0, len(data)
        while at < end:
            line = data.index(b"\r\n", at)
            count, at = int(data[at + 1 : line]), line + 2
            fields = []
            for _ in range(count):
                line = data.index(b"\r\n", at)
                begin = line + 2
                at = begin + int(data[at + 1 : line]) + 2
                fields.append(data[begin : at - 2])
            self._process_command(fields)

    def _lua_redis_call(self, lua_runtime: Any, expected_globals: set[Any], op: bytes, *args: Any) -> Any:
        if op.lower() in CONTAINERS:
            return super()._lua_redis_call(lua_runtime, expected_globals, op, *args)
        known = self._known.get(op)
        if known is None:
            known = self._known[op] = self._name_to_func(op.decode().lower())
        result = self._run_command(*known, [_argument(one) for one in args], True)
        return result if type(result) in (bytes, int) else self._convert_redis_result(lua_runtime, result)

    def _run_command(self, func: Any, sig: Signature, args: list[Any], from_script: bool) -> Any:
        if not from_script:
            return super()._run_command(func, sig, args, from_script)
        self._subkey_events = []
        items: list[CommandItem] = []
        try:
            found = sig.apply(args, self._db, self.version)
            if len(found) == 1:
                result = found[0]
            else:
                arguments, items = found
                result = func(*arguments)
                if type(result) not in (bytes, int) and not sig.flags & {_msgs.FLAG_SKIP_CONVERT_TO_RESP2}:
                    result = convert_to_resp2(result)
        except SimpleError as error:
            result = error
        for item in items:
            item.writeback(remove_empty_val=_msgs.FLAG_LEAVE_EMPTY_VAL not in sig.flags)
        return result


def _argument(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) in (int, float):
        return f"{value:.17g}".encode()
    raise SimpleError(_msgs.LUA_COMMAND_ARG_MSG)


class Connection(FakeRedisConnection):
    """A connection that uses it."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send all of it at once."""
        super().send_packed_command([command if isinstance(command, bytes) else b"".join(command)], check_health)

    def _connect(self) -> Socket:
        if not self._server.connected:
            raise self._connection_error_class(_msgs.CONNECTION_ERROR_MSG)
        return Socket(
            self._server,
            client_class=self._client_class,
            db=self.db,
            lua_modules=self._lua_modules,
            client_info=self._client_info,
        )
