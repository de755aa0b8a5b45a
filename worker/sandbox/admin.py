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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.sandbox.core import Sandbox
from worker.sandbox.envelope import api_key_of
from worker.sandbox.errors import FaultError, KiliError, no_access
from worker.sandbox.process import SWITCHES, ConfigError, is_loopback
from worker.sandbox.records import Asset, Label, Project
from worker.sandbox.resolvers.workflow import is_queued, queue_order
from worker.sandbox.store import Tables


def state(tables: Tables, *, project_id: str | None, is_full: bool) -> dict[str, Any]:
    """Return counts of everything, or of one project; `is_full` adds every asset with its labels."""
    if project_id is None:
        assets, labels = list(tables.assets.values()), list(tables.labels.values())
    else:
        _check(tables, project_id)
        assets = list(tables.assets_of(project_id).values())
        labels = list(tables.labels_of(project_id).values())
    summary = {"projects": len(tables.projects), **_counts(assets, labels)}
    if project_id is None:
        summary["project_ids"] = list(tables.projects)
    if is_full:
        summary["items"] = [_item(tables, asset) for asset in assets]
    return summary


def queue(tables: Tables, *, project_id: str, first: int) -> list[dict[str, Any]]:
    """Return the head of a project's labeling queue: priority descending, then creation ascending."""
    _check(tables, project_id)
    return [
        {"id": asset.id, "externalId": asset.external_id, "priority": asset.priority}
        for asset in islice(_queued(tables, tables.projects[project_id]), first)
    ]


def _queued(tables: Tables, project: Project) -> Iterator[Asset]:
    """In the order of the queue; those without a priority are not looked at before they are wanted."""
    yield from sorted((asset for asset in tables.urgent_of(project.id) if is_queued(asset, project)), key=queue_order)
    others = (asset for asset in tables.assets_of(project.id).values() if asset.priority <= 0)
    later = []
    for asset in others:
        if is_queued(asset, project):
            if asset.priority < 0:
                later.append(asset)
            else:
                yield asset
    yield from sorted(later, key=queue_order)


def _check(tables: Tables, project_id: str) -> None:
    if project_id not in tables.projects:
        raise no_access("project")


def _counts(assets: Iterable[Asset], labels: Iterable[Label]) -> dict[str, Any]:
    names = Counter((asset.project_id, asset.external_id) for asset in assets)
    predictions = Counter((label.asset_id, label.model_name) for label in labels if label.label_type == "INFERENCE")
    return {
        "assets": names.total(),
        "external_ids": len(names),
        "duplicate_external_ids": _surplus(names),
        "labels": dict(Counter(label.label_type for label in labels)),
        "models": dict(Counter(label.model_name or "" for label in labels if label.label_type == "INFERENCE")),
        "duplicate_inference_labels": _surplus(predictions),
        "priorities": dict(Counter(asset.priority for asset in assets)),
        "step_statuses": dict(Counter(asset.step_status for asset in assets)),
    }


def _surplus(counts: Counter[Any]) -> int:
    return sum(count - 1 for count in counts.values())


def _item(tables: Tables, asset: Asset) -> dict[str, Any]:
    return {
        "id": asset.id,
        "externalId": asset.external_id,
        "projectId": asset.project_id,
        "content": asset.content,
        "priority": asset.priority,
        "jsonMetadata": asset.json_metadata,
        "stepStatus": asset.step_status,
        "createdAt": asset.created_at,
        "labels": [
            {
                "id": label.id,
                "modelName": label.model_name,
                "labelType": label.label_type,
                "jsonResponse": label.json_response,
                "inferenceMark": label.inference_mark,
                "createdAt": label.created_at,
            }
            for label in tables.labels_on(asset.id)
        ],
    }


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
