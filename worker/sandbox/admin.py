"""The sandbox's own surface under /sandbox: state, books, faults, switches, keys, queue.

It needs no key from this machine. From another one (and through the published port of a container) it answers only with
--expose, and with a key of the sandbox: `Authorization: X-API-Key: <key>`, as the API takes it.

GET    /sandbox/state?project=ID&full=1   what exists: counts, or with full=1 every asset with its labels
GET    /sandbox/queue?project=ID&first=N  the labelers' queue in Kili's order
GET    /sandbox/calls                     calls by operation, TCP connections that carried them, the last ones
POST   /sandbox/reset                     forget the calls, keep the state
GET    /sandbox/faults                    the rules in force with their counts
POST   /sandbox/faults                    add rules, see worker.sandbox.faults
DELETE /sandbox/faults                    drop all rules
GET    /sandbox/config                    the switches
POST   /sandbox/config                    change switches: {"read_lag": 2, "batches": "partial"}
POST   /sandbox/keys                      {"key": "...", "expiry": "2030-01-01T00:00:00.000Z" or seconds from now}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .actions import FaultError
from .config import SWITCHES, ConfigError, is_loopback
from .core import Sandbox
from .envelope import api_key_of
from .errors import KiliError
from .report import queue, state

#: What those are told who may not enter, with and without --expose.
STRANGER = {
    False: "only from this machine; start the sandbox with --expose to let holders of its key in",
    True: "from another machine only with a key of the sandbox: send 'Authorization: X-API-Key: <key>'",
}

Handler = Callable[[Sandbox, Request, Any], Any]


def admin_routes(sandbox: Sandbox) -> list[Route]:
    """Return the routes of the admin surface."""
    return [
        Route(f"/sandbox/{path}", _endpoint(sandbox, handler), methods=[method])
        for (method, path), handler in HANDLERS.items()
    ]


def _endpoint(sandbox: Sandbox, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        if not _may_enter(sandbox, request):
            return JSONResponse({"message": STRANGER[sandbox.config.expose]}, status_code=403)
        sandbox.store.settle()
        try:
            content = json.loads(await request.body() or b"null")
            return JSONResponse(handler(sandbox, request, content))
        except KiliError as error:
            return JSONResponse({"message": error.message}, status_code=404)
        except (ConfigError, FaultError, ValueError, TypeError) as error:
            return JSONResponse({"message": str(error)}, status_code=400)

    return endpoint


def _may_enter(sandbox: Sandbox, request: Request) -> bool:
    if request.client is not None and is_loopback(request.client.host):
        return True
    return sandbox.config.expose and sandbox.user_of(api_key_of(request)) is not None


def _state(sandbox: Sandbox, request: Request, _: Any) -> Any:
    is_full = request.query_params.get("full", "0") not in {"", "0"}
    return state(sandbox.store.tables, project_id=request.query_params.get("project"), is_full=is_full)


def _queue(sandbox: Sandbox, request: Request, _: Any) -> Any:
    first = int(request.query_params.get("first", "100"))
    return queue(sandbox.store.tables, project_id=request.query_params.get("project", ""), first=first)


def _calls(sandbox: Sandbox, _request: Request, _: Any) -> Any:
    return sandbox.calls.to_json()


def _reset(sandbox: Sandbox, _request: Request, _: Any) -> Any:
    sandbox.calls.reset()
    return {}


def _get_faults(sandbox: Sandbox, _request: Request, _: Any) -> Any:
    return sandbox.script.describe()


def _add_faults(sandbox: Sandbox, _request: Request, content: Any) -> Any:
    sandbox.script.add(content)
    return sandbox.script.describe()


def _clear_faults(sandbox: Sandbox, _request: Request, _: Any) -> Any:
    sandbox.script.clear()
    return []


def _get_config(sandbox: Sandbox, _request: Request, _: Any) -> Any:
    return {name: getattr(sandbox.config, name) for name in sorted(SWITCHES)}


def _switch(sandbox: Sandbox, request: Request, content: Any) -> Any:
    sandbox.switch(_object(content))
    return _get_config(sandbox, request, content)


def _set_key(sandbox: Sandbox, _request: Request, content: Any) -> Any:
    options = _object(content)
    key = sandbox.set_api_key(str(options.get("key", "")), options.get("expiry", ""))
    return {"id": key.id, "userId": key.user_id, "expiry": key.expiry_date}


def _object(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError("the body must be a JSON object")
    return content


HANDLERS: dict[tuple[str, str], Handler] = {
    ("GET", "state"): _state,
    ("GET", "queue"): _queue,
    ("GET", "calls"): _calls,
    ("POST", "reset"): _reset,
    ("GET", "faults"): _get_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "config"): _get_config,
    ("POST", "config"): _switch,
    ("POST", "keys"): _set_key,
}
