"""One process of the worker, put together from the settings: the only place that knows every room."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from worker import __version__
from worker.connections import connect, same_server
from worker.delivery import AwaitedResults, Deliverer, DeliveryRules, Pace, Ticker
from worker.feedback.reading import Reader as LabelReader
from worker.health import Pulse
from worker.hints import Hints
from worker.intake import Admitter, Inbox, QueueDoor, Reader, ReaderLimits, Rules
from worker.kili import CallBudget, CallRecord, KiliAccess, KiliClient, RetryPolicy
from worker.ledger import CallCounter
from worker.listening import rounds_of
from worker.messages import ReadingLimits
from worker.projects import Projects
from worker.results import ResultPlaces, ResultReader
from worker.review import RankedPolicy, RedisState, ReviewPolicy, ThresholdPolicy, WatchedPolicy
from worker.settings import Settings
from worker.spool import Spool, Watch

logger = logging.getLogger(__name__)


def spool_of(settings: Settings) -> Spool:
    """The spool that the settings name."""
    return Spool(
        connect(settings.redis),
        prefix=settings.spool.prefix,
        lease_ms=int(settings.spool.lease_seconds * 1000),
        remember_ms=int(settings.spool.remember_hours * 3_600_000),
    )


def policy_of(settings: Settings, spool: Spool | None = None) -> ReviewPolicy:
    """The review policy that the settings name; what it learns is kept in the spool's Redis, without one nowhere.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    if settings.review.policy is None:
        return ThresholdPolicy(settings.review.threshold)
    state = RedisState(spool.redis, prefix=spool.prefix) if spool is not None else None
    return RankedPolicy(WatchedPolicy(settings.review.policy), state)


def projects_of(settings: Settings) -> Projects:
    """The operator's word on each project.

    Raises:
        ProjectsFileError: the file is missing or wrong.
    """
    return Projects(settings.projects_file)


def admitter_of(settings: Settings, spool: Spool, projects: Projects | None = None) -> Admitter:
    """The one admission behind both doors."""
    limits = ReadingLimits(settings.intake.max_message_bytes, settings.intake.max_depth)
    places = ResultPlaces(settings.intake.result_places)
    rules = Rules(settings.default_project, limits, tuple(settings.intake.path_roots), places)
    return Admitter(spool, policy_of(settings, spool), rules, projects or projects_of(settings))


def inbox_of(settings: Settings, consumer: str = "reader") -> Inbox:
    """The inbox in the broker's Redis, or in the spool's when the broker is no Redis."""
    queue = f"{settings.intake.broker_key_prefix}{settings.intake.queue}" if settings.broker_is_redis else ""
    url = settings.broker if settings.broker_is_redis else settings.redis
    return Inbox(connect(url), key=settings.intake.inbox, queue=queue, consumer=consumer)


def access_of(settings: Settings) -> KiliAccess:
    """Endpoint and key.

    Raises:
        ValueError: no key, or one that cannot be used.
    """
    key = settings.kili_api_key.get_secret_value() if settings.kili_api_key else ""
    kili = settings.kili
    return KiliAccess(
        settings.kili_api_endpoint,
        key,
        client_version=__version__,
        connect_timeout=kili.connect_timeout_seconds,
        timeout=kili.timeout_seconds,
        labels_timeout=2 * kili.timeout_seconds,
        gzip_from=kili.compress_from_bytes,
        max_answer_bytes=kili.max_response_bytes,
    )


def budget_of(settings: Settings, spool: Spool) -> CallBudget:
    """The fleet's call budget."""
    return CallBudget(
        spool.redis,
        scope=access_of(settings).scope,
        calls_per_minute=settings.kili.calls_per_minute,
        burst=settings.kili.burst,
        key_prefix=f"{settings.spool.prefix}budget",
    )


def kili_of(
    settings: Settings,
    budget: CallBudget,
    *,
    stop: threading.Event | None = None,
    attempts: int | None = None,
    observe: Callable[[CallRecord], None] | None = None,
) -> KiliClient:
    """A client of Kili within the fleet's budget."""
    kili = settings.kili
    retry = RetryPolicy(
        attempts=kili.attempts,
        base=kili.backoff_seconds,
        cap=kili.backoff_cap_seconds,
        retry_after_cap=kili.retry_after_cap_seconds,
    )
    retry = replace(retry, attempts=attempts) if attempts is not None else retry
    return KiliClient(access_of(settings), budget=budget, retry=retry, stop=stop, observe=observe)


def delivery_rules_of(settings: Settings) -> DeliveryRules:
    """What delivery is told."""
    delivery = settings.delivery
    return DeliveryRules(
        wave_items=delivery.wave_items,
        wave_bytes=delivery.wave_bytes,
        batch_items=delivery.batch_items,
        aging=delivery.aging_seconds,
        missing_asset_grace=delivery.missing_asset_grace_seconds,
        read_lag=settings.kili.read_lag_seconds,
        interface_age=delivery.interface_seconds,
        probe=delivery.probe_seconds,
        probe_cap=delivery.probe_cap_seconds,
        retry_after_cap=settings.kili.retry_after_cap_seconds,
        path_roots=tuple(settings.intake.path_roots),
        one_document=delivery.one_document,
    )


class Runtime:
    """Intake, delivery and clock of one worker process.

    Args:
        settings: of the process.
        publish_hint: sends ``predictions.deliver`` for a project through the broker.
    """

    def __init__(self, settings: Settings, publish_hint: Callable[[str], None]) -> None:
        self.settings = settings
        self.stop_event = threading.Event()
        self.spool = spool_of(settings)
        self._projects = projects_of(settings)
        self.admitter = admitter_of(settings, self.spool, self._projects)
        self._pulse = Pulse(settings.heartbeat_file)
        self._pool = ThreadPoolExecutor(settings.delivery.parallel_batches, thread_name_prefix="batch")
        self.deliverer = self._deliverer()
        self.hints = Hints(publish_hint, self.deliverer.deliver, threads=settings.delivery.concurrency)
        self._reader = self._make_reader()
        self.queue_door = QueueDoor(inbox_of(settings), lambda: self._reader.closed)
        self._ticker = Ticker(
            self.spool,
            self.hints.send,
            self._beat,
            full=settings.delivery.batch_items,
            linger=settings.delivery.linger_seconds,
            every=settings.delivery.tick_seconds,
            stop=self.stop_event,
        )
        self._watch = Watch(self.spool)
        self._feedback = threading.Thread(target=self._keep_running, args=(self._listen,), name="feedback", daemon=True)
        self._watchdog = threading.Timer(settings.delivery.drain_seconds, self._give_up)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to take, tick and deliver."""
        gc.collect()
        gc.freeze()  # what is there now stays: no collection while work goes on looks through it again
        self._threads = [
            threading.Thread(target=self._keep_running, args=(run,), name=name, daemon=True)
            for name, run in (("intake", self._reader.run), ("ticker", self._ticker.run))
        ]
        for thread in self._threads:
            thread.start()
        if self.settings.feedback.enabled:
            self._feedback.start()
        logger.info("started", extra={"action": "started", "version": __version__, "pid": os.getpid()})

    def drain(self) -> None:
        """Stop taking; running waves end at their next call. Does not wait."""
        if self.stop_event.is_set():
            return
        self.stop_event.set()
        limit = self.settings.delivery.drain_seconds
        logger.info("draining, at most %g s", limit, extra={"action": "draining", "limit_seconds": limit})
        self._watchdog.daemon = True
        self._watchdog.start()

    def close(self) -> None:
        """Wait for the threads and say what remains."""
        self.drain()
        for thread in self._threads:
            thread.join(self.settings.delivery.drain_seconds)
        self.hints.close()
        self.deliverer.leases.wait_released(self.settings.delivery.drain_seconds)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._watchdog.cancel()
        self._say_remaining("drained")
        self._pulse.end()

    def _listen(self) -> None:
        """Visit the feedback rooms; nothing that is lost with this thread cannot be read from Kili again."""
        budget = budget_of(self.settings, self.spool)
        observe = CallCounter(self.spool.redis, self.spool.prefix).observe
        policy = policy_of(self.settings, self.spool)
        kili = kili_of(self.settings, budget, stop=self.stop_event, observe=observe)
        reader = LabelReader(access_of(self.settings), budget=budget, stop=self.stop_event, observe=observe)
        try:
            rounds_of(
                self.settings, self.spool, policy=policy, kili=kili, reader=reader, budget=budget, stop=self.stop_event
            ).run()
        finally:
            kili.close()
            reader.close()

    def _beat(self, trouble: str) -> None:
        self._pulse.beat(trouble)
        self._watch.tick()

    def _keep_running(self, run: Callable[[], None]) -> None:
        while True:
            try:
                return run()
            except Exception:
                name = threading.current_thread().name
                logger.exception("%s begins again", name, extra={"action": "thread_failed", "thread": name})
                if self.stop_event.wait(1):
                    return None

    def _give_up(self) -> None:
        self._say_remaining("drain_limit")
        self._pulse.end()
        os._exit(1)

    def _say_remaining(self, action: str) -> None:
        try:
            ledger = self.spool.ledger()
            remaining = {"waiting": ledger.waiting, "leased": ledger.leased, "held": self.deliverer.leases.held()}
        except Exception as error:  # noqa: BLE001 - the process is ending; whatever is wrong must not keep it
            remaining = {"unknown": str(error)}
        logger.info("%s: %s", action.replace("_", " "), remaining, extra={"action": action, **remaining})

    def _deliverer(self) -> Deliverer:
        delivery = self.settings.delivery
        budget = budget_of(self.settings, self.spool)
        counter = CallCounter(self.spool.redis, self.spool.prefix)
        pace = Pace(slots=delivery.parallel_batches, batch_bytes=delivery.batch_bytes)

        def observe(record: CallRecord) -> None:
            pace.observe(record)
            counter.observe(record)

        clients = [
            kili_of(self.settings, budget, stop=self.stop_event, attempts=attempts, observe=observe)
            for attempts in (None, 1)
        ]
        rules = delivery_rules_of(self.settings)
        return Deliverer(
            self.spool,
            *clients,
            budget=budget,
            pace=pace,
            pool=self._pool,
            rules=rules,
            projects=self._projects,
            awaited=self._awaited(),
            stop=self.stop_event,
        )

    def _awaited(self) -> AwaitedResults:
        intake = self.settings.intake
        limits = ReadingLimits(intake.max_message_bytes, intake.max_depth)
        return AwaitedResults(
            ResultReader(ResultPlaces(intake.result_places), limits=limits),
            policy_of(self.settings, self.spool),
            grace_ms=int(intake.result_grace_seconds * 1000),
            max_bytes=self.settings.delivery.wave_bytes,
            stop=self.stop_event,
        )

    def _make_reader(self) -> Reader:
        intake = self.settings.intake
        consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        inbox = inbox_of(self.settings, consumer)
        limits = ReaderLimits(intake.batch, intake.recover_seconds, intake.max_waiting)
        same = not self.settings.broker_is_redis or self._broker_is_spool()
        return Reader(inbox, self.admitter, self.spool, limits, same_redis=same, stop=self.stop_event)

    def _broker_is_spool(self) -> bool:
        if self.settings.broker == self.settings.redis:
            return True
        return same_server(connect(self.settings.broker), self.spool.redis)
