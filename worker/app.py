"""The Celery application: what a worker process consumes, how it starts its runtime, and how signals end it.

Celery's own handlers write to standard output before they do anything else; where nobody reads it, that fails and the
signal is lost. And a second SIGTERM means nothing to them.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps, signals
from celery.apps import worker as celery_worker
from celery.worker import state
from kombu import Queue

from worker.environment.connections import broker_ssl, celery_url
from worker.runtime import Runtime
from worker.settings.tree import Settings

DELIVER = "predictions.deliver"


def register(app: Celery) -> None:
    """Add the task to an app; it works with the app's ``runtime``."""
    app.task(deliver, name=DELIVER, bind=True, ignore_result=True)


def deliver(task: Any, project: str) -> None:
    """Run one wave of a project.

    Workers of this release send no such message: each runs the waves itself. Those of earlier releases in the same
    fleet do, and wait two seconds for an answer before they send the next.
    """
    task.app.runtime.scheduler.run_wave(project)


logger = logging.getLogger(__name__)

ENDING = (signal.SIGTERM, signal.SIGINT)


def guard_signal_output() -> None:
    """Let the handlers that stay Celery's (and its own until ours are there) survive that nobody hears them."""
    original = celery_worker.safe_say

    def safe_say(*args: Any, **options: Any) -> None:
        try:
            original(*args, **options)
        except OSError as error:
            logger.debug("not printed: %s", error, extra={"action": "not_said"})

    celery_worker.safe_say = safe_say


def drain_on_signals(drain: Callable[[], None], end_at_once: Callable[[], None]) -> None:
    """Install the handlers, when Celery has installed its own; a worker in a thread leaves them to its host.

    Args:
        drain: called with the first signal, or never when ``SIGQUIT`` comes first; must not wait.
        end_at_once: called with the next, and with ``SIGQUIT``; does not return.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    asked = False

    def handle_signal(number: int, _: object) -> None:
        nonlocal asked
        if asked or number == signal.SIGQUIT:
            end_at_once()
        asked = True
        state.should_stop = 0
        drain()

    for number in (*ENDING, signal.SIGQUIT):
        signal.signal(number, handle_signal)


SETTLED_SECONDS = 0.5
FORKING_POOL = "celery.concurrency.prefork"
"""``start`` never uses it; an application that hosts the worker may."""


def create_app(settings: Settings) -> Celery:
    """A Celery app for the settings; importing this module connects to nothing."""
    app = Celery("prediction-worker")
    waves = f"{settings.intake.queue}.deliver"
    app.conf.update(
        broker_url=celery_url(settings.broker),
        broker_use_ssl=broker_ssl(settings.broker),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options=_transport_options(settings),
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[Queue(waves)],
        task_default_queue=waves,
        worker_pool="threads",
        worker_concurrency=settings.delivery.concurrency,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
    )
    register(app)
    app.steps["worker"].add(RuntimeStep)
    app.steps["consumer"].add(ConnectedStep)
    return app


def bind_runtime(app: Celery, settings: Settings) -> Runtime:
    """Give the app the runtime that its tasks and its bootstep work with."""
    runtime = Runtime(settings)
    app.runtime = runtime
    guard_signal_output()
    signals.worker_shutting_down.connect(lambda **_: runtime.drain(), weak=False)
    return runtime


class RuntimeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts intake and clock with the worker, and ends them with it."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        """Called by Celery when the worker starts."""
        runtime = parent.app.runtime
        if type(parent.pool).__module__ == FORKING_POOL:
            message = "waves run in forked processes here: /metrics lacks what they deliver; use the pool threads"
            logger.warning(message, extra={"action": "pool_not_counted"})
        drain_on_signals(runtime.drain, runtime.end_at_once)
        runtime.start()

    def stop(self, parent: Any) -> None:
        """Called by Celery when the worker ends, warm or cold."""
        parent.app.runtime.close()

    terminate = stop


class ConnectedStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Tells the runtime whether Celery's consumer works: connected, and not thrown out at once.

    A broker that refuses the channels of remote control does so after every other step has started. So the consumer's
    own loop tells it, once it has run for a moment.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    timer: Any = None

    def start(self, c: Any) -> None:
        """Called by Celery after each connection."""
        self.timer = c.timer.call_after(SETTLED_SECONDS, c.app.runtime.connected.set)

    def stop(self, c: Any) -> None:
        """Called by Celery when the connection is lost, and at the end."""
        if self.timer is not None:
            self.timer.cancel()
        c.app.runtime.connected.clear()


def _transport_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"visibility_timeout": settings.intake.visibility_seconds}
    if settings.broker_is_redis:
        options |= {"socket_keepalive": True, "health_check_interval": 25}
    return options
