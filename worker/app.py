"""The Celery application: what a worker process consumes, and how it is wired to the runtime."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, bootsteps, signals
from kombu import Queue

from worker import tasks
from worker.connections import broker_ssl, celery_url
from worker.intake import queue_step
from worker.runtime import Runtime
from worker.settings import Settings
from worker.signals import drain_on_signals, say_safely

logger = logging.getLogger(__name__)

HINT_EXPIRES = 30
SETTLED_SECONDS = 0.5


def create_app(settings: Settings) -> Celery:
    """A Celery app for the settings; importing this module connects to nothing."""
    app = Celery("prediction-worker")
    hints = f"{settings.intake.queue}.deliver"
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
        task_queues=[Queue(hints)],
        task_default_queue=hints,
        worker_pool="threads",
        worker_concurrency=settings.delivery.concurrency,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
    )
    tasks.register(app)
    app.steps["worker"].add(RuntimeStep)
    app.steps["consumer"].add(ConnectedStep)
    return app


def bind_runtime(app: Celery, settings: Settings) -> Runtime:
    """Give the app the runtime that its tasks and its bootstep work with."""

    def publish_hint(project: str) -> None:
        options = {"expires": HINT_EXPIRES, "ignore_result": True, "retry": False}
        app.send_task(tasks.DELIVER, [project], argsrepr="", kwargsrepr="", **options)

    runtime = Runtime(settings, publish_hint)
    app.runtime = runtime
    if not settings.broker_is_redis:
        app.steps["consumer"].add(queue_step(runtime.queue_door, settings.intake.queue))
    say_safely()
    signals.worker_shutting_down.connect(lambda **_: runtime.drain(), weak=False)
    return runtime


class RuntimeStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts intake and clock with the worker, and ends them with it."""

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        """Called by Celery when the worker starts."""
        runtime = parent.app.runtime
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
