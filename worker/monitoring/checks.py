"""What is wrong or dangerous about a configuration, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import redis
from redis.exceptions import NoPermissionError

from worker.environment.connections import WHERE, connect
from worker.kili import CallBudget, KiliError
from worker.monitoring.redis_permissions import NEEDED, keys_of_celery, missing_rights, try_broker
from worker.projects.configuration import ProjectsFileError, review_gaps, review_text, scorer_missing
from worker.projects.results import SETTING as RESULT_PLACES
from worker.projects.results import ResultPlaces
from worker.review import PolicyError
from worker.settings.tree import Settings, unknown_names
from worker.sources import make_sources
from worker.wiring import access_of, budget_of, kili_of, projects_of, spool_of

OLDEST_REDIS = (6, 2)
RIGHTS = f"give the user the rights that docs/operations.md names: ACL SETUSER … {NEEDED}"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``refused`` keeps the worker from starting, ``warning`` does not."""

    name: str
    level: Literal["ok", "warning", "refused"]
    problem: str = ""
    fix: str = ""


def startup_checks(settings: Settings) -> list[Check]:
    """Everything that is looked at before the worker starts: settings, Redis and broker, not Kili."""
    servers = list(redis_checks(settings))
    if all(check.level != "refused" for check in servers):
        servers += broker_checks(settings)
    return [*setting_checks(settings), *servers]


def setting_checks(settings: Settings) -> Iterator[Check]:
    """Settings that cannot work, or would hurt later."""
    yield _key(settings)
    yield _transport(settings)
    yield _visibility(settings)
    yield _roots(settings)
    yield _places(settings)
    yield _sizes(settings)
    yield _celery_check(settings)
    yield _heartbeat(settings)
    yield _stalled(settings)
    yield _sources(settings)
    yield _projects_file(settings)
    yield from _review(settings)
    yield from _names(settings)


def redis_checks(settings: Settings) -> Iterator[Check]:
    """The spool's Redis, and the broker's when it is another."""
    urls = {"redis": settings.redis}
    if settings.broker_is_redis and settings.broker != settings.redis:
        urls["broker"] = settings.broker
    for name, url in urls.items():
        client = connect(url)
        try:
            info = client.info()
            yield from _server(name, info)
            yield from _rights(name, settings, client)
        except NoPermissionError as error:
            yield Check(name, "refused", str(error), RIGHTS)
        except (redis.RedisError, OSError) as error:
            yield Check(name, "refused", f"cannot be reached: {error}".removesuffix(f"; {WHERE}"), WHERE)


def broker_checks(settings: Settings) -> Iterator[Check]:
    """The broker as Celery uses it: its queue, and the channels of remote control and events."""
    from worker.app import create_app

    try:
        try_broker(create_app(settings))
    except NoPermissionError as error:
        yield Check("celery", "refused", str(error), RIGHTS)
    except Exception as error:  # noqa: BLE001 - every transport of kombu has errors of its own
        message = str(error) or type(error).__name__
        yield Check(
            "celery", "refused", f"the broker cannot be used: {message}", "check CELERY_BROKER_URL and REDIS_URL"
        )
    else:
        yield Check("celery", "ok", "the broker and its channels can be used")


def _rights(name: str, settings: Settings, client: redis.Redis) -> Iterator[Check]:
    """Whether the user may do what the worker does."""
    from worker.app import create_app

    keys = []
    if name == "broker" or settings.broker == settings.redis:
        keys = [f"{settings.intake.broker_key_prefix}{settings.intake.queue}", settings.intake.inbox]
        keys += keys_of_celery(create_app(settings))
    denied = missing_rights(client, f"{settings.spool.prefix}check", keys)
    if denied:
        more = f" and {len(denied) - SHOWN} more" if len(denied) > SHOWN else ""
        yield Check(name, "refused", f"its user may not {', '.join(denied[:SHOWN])}{more}", RIGHTS)


def kili_checks(settings: Settings, project: str | None) -> Iterator[Check]:
    """Endpoint, key and a project's interface; costs one or two calls."""
    try:
        client = kili_of(settings, _budget(settings), attempts=2)
        viewer = client.viewer()
        yield Check("kili", "ok", f"signed in as {viewer.get('email')}")
        project = project or settings.default_project
        if project:
            found = client.project_interface(project)
            jobs = ", ".join(found.json_interface.get("jobs", {})) or "no jobs"
            yield Check("project", "ok", f"{found.title}: {found.input_type}, {jobs}")
    except (KiliError, ValueError) as error:
        yield Check("kili", "refused", str(error), "check KILI_API_KEY, KILI_API_ENDPOINT and the project id")


def _budget(settings: Settings) -> CallBudget:
    return budget_of(settings, spool_of(settings))


def _key(settings: Settings) -> Check:
    try:
        access_of(settings)
    except ValueError as error:
        return Check(
            "KILI_API_KEY",
            "refused",
            str(error).removeprefix("KILI_API_KEY "),
            "set KILI_API_KEY, or KILI_API_KEY_FILE",
        )
    return Check("KILI_API_KEY", "ok")


def _transport(settings: Settings) -> Check:
    parts = urlsplit(settings.kili_api_endpoint)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return Check("KILI_API_ENDPOINT", "warning", "the API key travels in clear text", "use https://")
    return Check("KILI_API_ENDPOINT", "ok")


def longest_call_seconds(settings: Settings) -> float:
    """Upper bound of one call with all its repeats and waits."""
    kili = settings.kili
    return 2 * kili.timeout_seconds * 2 + kili.attempts * kili.backoff_cap_seconds + kili.retry_after_cap_seconds


def _visibility(settings: Settings) -> Check:
    name = "WORKER_INTAKE__VISIBILITY_SECONDS"
    longest = longest_call_seconds(settings)
    if settings.intake.visibility_seconds < longest:
        problem = f"{settings.intake.visibility_seconds} s is shorter than the longest call ({longest:g} s)"
        return Check(name, "refused", problem, f"set it to at least {int(longest) + 1}")
    return Check(name, "ok")


def _roots(settings: Settings) -> Check:
    name = "WORKER_INTAKE__PATH_ROOTS"
    if any(root.resolve() == Path("/") for root in settings.intake.path_roots):
        return Check(name, "refused", "lets messages read every file of this machine", "name the folders of the assets")
    missing = [str(root) for root in settings.intake.path_roots if not root.is_dir()]
    if missing:
        return Check(name, "warning", f"no such folder: {', '.join(missing)}", "mount or create it")
    return Check(name, "ok")


def _places(settings: Settings) -> Check:
    try:
        folders = ResultPlaces(settings.intake.result_places).folders
    except ValueError as error:
        return Check(RESULT_PLACES, "refused", str(error), "correct the place")
    if any(folder.resolve() == Path("/") for folder in folders):
        problem = "lets messages read every file of this machine"
        return Check(RESULT_PLACES, "refused", problem, "name the folders of the results")
    return Check(RESULT_PLACES, "ok")


def _sizes(settings: Settings) -> Check:
    name = "WORKER_DELIVERY__WAVE_ITEMS"
    delivery = settings.delivery
    if delivery.wave_items < delivery.batch_items or delivery.wave_bytes < delivery.batch_bytes:
        return Check(name, "refused", "a wave is smaller than a batch", "make waves at least as large as batches")
    return Check(name, "ok")


def _celery_check(settings: Settings) -> Check:
    name = "WORKER_INTAKE__INBOX"
    intake = settings.intake
    if intake.inbox == f"{intake.broker_key_prefix}{intake.queue}":
        return Check(name, "refused", "is the Celery queue's key, which is a list and no stream", "name another key")
    return Check(name, "ok")


def _heartbeat(settings: Settings) -> Check:
    """The heartbeat is written beside the file first, then put into its place."""
    name = "WORKER_HEARTBEAT_FILE"
    path = settings.heartbeat_file
    if path.is_dir():
        return Check(name, "refused", f"{path} is a folder", "name a file in it")
    if not os.access(path.parent, os.W_OK | os.X_OK) or not path.parent.is_dir():
        return Check(name, "refused", f"no file can be written in {path.parent}", "name a folder that is there")
    return Check(name, "ok")


def _stalled(settings: Settings) -> Check:
    """A worker that waits for one long call is not stuck."""
    name, longest = "WORKER_HTTP__STALLED_SECONDS", longest_call_seconds(settings)
    if settings.http.listen and settings.http.stalled_seconds < longest:
        problem = f"{settings.http.stalled_seconds:g} s is shorter than the longest call ({longest:g} s)"
        return Check(name, "warning", problem, f"set it to at least {int(longest) + 1}, or /livez may end it")
    return Check(name, "ok")


def _sources(settings: Settings) -> Check:
    try:
        make_sources(settings)
    except ValueError as error:
        return Check("WORKER_SOURCES", "refused", str(error), "correct it; docs/operations.md lists the sources")
    return Check("WORKER_SOURCES", "ok", ", ".join(settings.sources))


def _projects_file(settings: Settings) -> Check:
    try:
        projects_of(settings)
    except ProjectsFileError as error:
        return Check("WORKER_PROJECTS_FILE", "refused", str(error), "correct the file")
    return Check("WORKER_PROJECTS_FILE", "ok")


def _review(settings: Settings) -> Iterator[Check]:
    """What is in force, and what it cannot give."""
    try:
        gaps = list(review_gaps(settings.review))
    except PolicyError as error:
        fix = "correct the file; `prediction-worker policy show` reads it"
        yield Check("WORKER_REVIEW__POLICY", "refused", str(error), fix)
        return
    missing = "; by the score alone, since numpy is not installed" if scorer_missing(settings.review) else ""
    yield Check("review", "ok", f"{review_text(settings.review)}{missing}")
    for problem, fix in gaps:
        yield Check("review", "warning", problem, fix)


def _names(_settings: Settings) -> Iterator[Check]:
    """Variables that look like settings and are none: a misspelt one would silently do nothing."""
    for name, near in unknown_names():
        if near is not None or "__" in name:
            fix = f"did you mean {near}?" if near else "`prediction-worker check --explain` lists every setting"
            yield Check(name, "refused", "is no setting", fix)
        else:
            yield Check(name, "warning", "is no setting", "unset it, if it is not meant for another program")


def _server(name: str, info: dict[str, Any]) -> Iterator[Check]:
    version = tuple(int(part) for part in str(info.get("redis_version", "0.0")).split(".")[:2])
    if version < OLDEST_REDIS:
        yield Check(name, "refused", f"version {info['redis_version']} is too old", "use Redis 6.2 or newer, or Valkey")
    if info.get("cluster_enabled"):
        yield Check(name, "refused", "is a Redis Cluster", "use a single server, with replicas if wanted")
    if info.get("role") == "slave":
        yield Check(name, "refused", "is a replica, which takes no writes", "name the primary")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        problem = f"maxmemory-policy is {policy}: waiting predictions could be evicted"
        yield Check(name, "refused", problem, "set maxmemory-policy noeviction")
    if not info.get("aof_enabled"):
        yield Check(name, "warning", "keeps no append-only file: a restart loses what waits", "set appendonly yes")
    else:
        yield Check(name, "ok", f"version {info.get('redis_version')}, append-only file on")
