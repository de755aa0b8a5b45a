"""One process of the worker: intake, delivery, clock and feedback, begun and ended together."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from worker import __version__
from worker.contract import ReadingLimits
from worker.delivery import AdaptiveLimit, AwaitedResults, Deliverer, FailurePolicy, Scheduler
from worker.environment import clock
from worker.environment.connections import MACHINE, Environment, same_server
from worker.feedback.collection_cycle import CollectionCycle
from worker.feedback.reading import KiliReader
from worker.intake import InboxReader, ReaderLimits
from worker.kili import CallRecord
from worker.kili.budget import CallCounter
from worker.monitoring.progress import Pulse
from worker.monitoring.status import Presence, Roster
from worker.monitoring.worker_monitor import Probes, WorkerMonitor, worker_endpoint
from worker.projects.results import ResultPlaces, ResultReader
from worker.settings.tree import Settings
from worker.sources import SourceHost
from worker.spool import Watch
from worker.wiring import (
    access_of,
    admitter_of,
    budget_of,
    collection_cycle_of,
    delivery_rules_of,
    file_rules_of,
    graces_of,
    housekeeping_of,
    inbox_of,
    kili_of,
    policy_of,
    projects_of,
    spool_of,
    tracer_of,
)

logger = logging.getLogger(__name__)

KEPT_SECONDS = 1.0
"""So often the fleet is told what was counted here."""

LOG_AGAIN_SECONDS = 300.0
"""So often it is said that the heartbeat cannot be written."""


class Runtime:
    """Intake, delivery and feedback of one worker process.

    Args:
        settings: of the process.
        environment: where it runs.
    """

    def __init__(self, settings: Settings, environment: Environment = MACHINE) -> None:
        self.settings = settings
        self._environment = environment
        self.stop_event = threading.Event()
        self.connected = threading.Event()
        """Set while Celery's consumer works on the broker."""
        self.monitor = WorkerMonitor(settings.http.stalled_seconds, settings.http.max_projects)
        self._adaptive_limit = AdaptiveLimit(
            slots=settings.delivery.parallel_batches, batch_bytes=settings.delivery.batch_bytes
        )
        self._observer = self.monitor if settings.http.listen else None
        """Nothing is counted that nobody can see."""
        self.spool = spool_of(settings, environment, observer=self._observer)
        self._calls = CallCounter(self.spool.redis, self.spool.prefix)
        self._projects = projects_of(settings)
        self.tracer = tracer_of(settings)
        self.admitter = admitter_of(settings, self.spool, self._projects, self.tracer)
        self._policy_of_awaited = policy_of(settings, self.spool)
        self._pulse = Pulse(settings.heartbeat_file)
        self._pool = environment.executor(settings.delivery.parallel_batches, "batch")
        self._ahead = environment.executor(settings.delivery.concurrency, "ahead")
        self.deliverer = self._deliverer()
        self.probes = Probes(self.monitor.progress, self.deliverer.breaker.all, environment.worker, self.stop_event)
        self._endpoint = worker_endpoint(settings.http.listen, self.monitor, self.probes, self._adaptive_limit)
        self.scheduler = Scheduler(
            self.spool,
            self.deliverer.deliver,
            self._beat,
            full=settings.delivery.batch_items,
            linger=settings.delivery.linger_seconds,
            every=settings.delivery.tick_seconds,
            threads=settings.delivery.concurrency,
            stop=self.stop_event,
            executor=environment.executor,
        )
        self.reader = self._make_reader()
        self.sources = SourceHost(settings, lambda: self.reader.closed, self.stop_event, environment)
        self._watch = Watch(self.spool)
        self._presence = Presence(Roster(self.spool.redis, self.spool.prefix), environment.worker, "worker")
        self._housekeeping = housekeeping_of(settings, self.spool)
        self._feedback = threading.Thread(target=self._keep_running, args=(self._listen,), name="feedback", daemon=True)
        self._watchdog = threading.Thread(target=self._watch_drain, name="watchdog", daemon=True)
        self._ended = threading.Event()
        self._beat_failed = float("-inf")
        self._counts_kept = float("-inf")
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to take, tick and deliver."""
        gc.collect()
        gc.freeze()  # what is there now stays: no collection while work goes on looks through it again
        self.monitor.progress.begin()
        if self._endpoint is not None:
            self._endpoint.start()
        self._threads = [
            threading.Thread(target=self._keep_running, args=(run,), name=name, daemon=True)
            for name, run in (("intake", self.reader.run), ("scheduler", self.scheduler.run))
        ]
        for thread in (self._watchdog, *self._threads):
            thread.start()
        self.sources.start()
        if self.settings.feedback.enabled:
            self._feedback.start()
        logger.info("started", extra={"action": "started", "version": __version__, "pid": os.getpid()})

    def drain(self) -> None:
        """Stop taking; running waves end at their next call. Does not wait, and may be called by a signal's handler."""
        if self.stop_event.is_set():
            return
        self.stop_event.set()
        self.scheduler.wake()
        limit = self.settings.delivery.drain_seconds
        logger.info("draining, at most %g s", limit, extra={"action": "draining", "limit_seconds": limit})

    def end_at_once(self) -> None:
        """End the process: what is not settled waits for the locks to end, and is delivered by others."""
        try:
            logger.warning("ended at once, by a second signal", extra={"action": "ended_at_once"})
            self._end_pulse()
        finally:
            os._exit(1)

    def close(self) -> None:
        """Wait for the threads and say what remains."""
        self.drain()
        for thread in self._threads:
            thread.join(self.settings.delivery.drain_seconds)
        self.sources.join(self.settings.delivery.drain_seconds)
        self.scheduler.close()
        self.deliverer.leases.wait_released(self.settings.delivery.drain_seconds)
        for pool in (self._ahead, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)
        self._keep_counts()
        self._log_remaining("drained")
        self._end_pulse()
        self._end_pause()
        self._presence.end()
        self.tracer.close()
        if self._endpoint is not None:
            self._endpoint.close()
        self._ended.set()

    @contextmanager
    def collection_cycle(self) -> Iterator[CollectionCycle]:
        """The feedback of all projects, with connections of its own."""
        budget = budget_of(self.settings, self.spool)

        def observe(record: CallRecord) -> None:
            self._calls.observe(record)
            if self._observer is not None:
                self._observer.called(record)

        policy = policy_of(self.settings, self.spool)
        environment, stop = self._environment, self.stop_event
        kili = kili_of(self.settings, budget, stop=stop, observe=observe, environment=environment)
        reader = KiliReader(
            access_of(self.settings),
            budget=budget,
            http=environment.http,
            stop=stop,
            observe=observe,
            files=file_rules_of(self.settings),
            executor=environment.executor,
        )
        try:
            yield collection_cycle_of(
                self.settings,
                self.spool,
                policy=policy,
                kili=kili,
                reader=reader,
                budget=budget,
                stop=stop,
                delays=self._observer.observe_delays if self._observer else None,
                evaluated=self.tracer.evaluated if self.settings.traces.enabled else None,
            )
        finally:
            kili.close()
            reader.close()

    def _listen(self) -> None:
        """Collect the feedback of all projects; what is lost with this thread can be read from Kili again."""
        with self.collection_cycle() as collection_cycle:
            collection_cycle.run()

    def _beat(self, trouble: str) -> None:
        connection = "" if self.connected.is_set() else "the broker: Celery's consumer is not connected"
        try:
            self._pulse.beat(trouble or self.reader.trouble or connection)
        except OSError as error:  # a full disk; whoever reads the heartbeat sees that it grows old
            self._log_beat_failed(error)
        if self._endpoint is not None:
            self.probes.beat({"delivery": trouble, "intake": self.reader.trouble, "broker": connection})
        self._watch.tick()
        self._presence.tick(
            held=len(self.deliverer.leases.held()), trouble=trouble or self.reader.trouble or connection
        )
        self._housekeeping.tick()
        if clock.monotonic() - self._counts_kept >= KEPT_SECONDS:
            self._counts_kept = clock.monotonic()
            self._keep_counts()

    def _keep_counts(self) -> None:
        """What the policy and the clients have counted belongs to the fleet, also when nothing comes any more."""
        for keeper in (self.admitter, self._policy_of_awaited):
            try:
                keeper.keep()
            except redis.RedisError as error:  # kept for the next time; who delivers says that Redis is away
                logger.debug("counts not kept yet: %s", error, extra={"action": "counts_wait"})
        self._calls.keep()

    def _log_beat_failed(self, error: OSError) -> None:
        if clock.monotonic() - self._beat_failed > LOG_AGAIN_SECONDS:
            self._beat_failed = clock.monotonic()
            logger.warning("the heartbeat cannot be written: %s", error, extra={"action": "heartbeat_failed"})

    def _keep_running(self, run: Callable[[], None]) -> None:
        while True:
            try:
                return run()
            except Exception:
                name = threading.current_thread().name
                logger.exception("%s begins again", name, extra={"action": "thread_failed", "thread": name})
                if clock.wait(self.stop_event, 1):
                    return None

    def _watch_drain(self) -> None:
        clock.wait(self.stop_event)
        if not clock.wait(self._ended, self.settings.delivery.drain_seconds):
            self._give_up()

    def _give_up(self) -> None:
        try:
            self._log_remaining("drain_limit")
            self._end_pulse()
        finally:
            os._exit(1)

    def _end_pulse(self) -> None:
        try:
            self._pulse.end()
        except OSError as error:
            logger.warning("the heartbeat cannot be removed: %s", error, extra={"action": "heartbeat_failed"})

    def _end_pause(self) -> None:
        try:
            self.deliverer.breaker.end()
        except redis.RedisError as error:
            logger.debug("its pause is left behind: %s", error, extra={"action": "pause_left"})

    def _log_remaining(self, action: str) -> None:
        try:
            ledger = self.spool.ledger()
            remaining = {"waiting": ledger.waiting, "leased": ledger.leased, "held": self.deliverer.leases.held()}
        except Exception as error:  # noqa: BLE001 - the process is ending; whatever is wrong must not keep it
            remaining = {"unknown": str(error)}
        logger.info("%s: %s", action.replace("_", " "), remaining, extra={"action": action, **remaining})

    def _deliverer(self) -> Deliverer:
        budget = budget_of(self.settings, self.spool)

        def observe(record: CallRecord) -> None:
            self._adaptive_limit.observe(record)
            self._calls.observe(record)
            self.tracer.called(record)
            if self._observer is not None:
                self._observer.called(record)

        clients = [
            kili_of(
                self.settings,
                budget,
                stop=self.stop_event,
                attempts=attempts,
                observe=observe,
                environment=self._environment,
            )
            for attempts in (None, 1)
        ]
        rules = delivery_rules_of(self.settings)
        return Deliverer(
            self.spool,
            *clients,
            budget=budget,
            adaptive_limit=self._adaptive_limit,
            pool=self._pool,
            ahead=self._ahead,
            rules=rules,
            projects=self._projects,
            awaited=self._awaited(),
            stop=self.stop_event,
            worker=self._environment.worker,
            has_threads=self._environment.has_threads,
            tracer=self.tracer,
        )

    def _awaited(self) -> AwaitedResults:
        intake = self.settings.intake
        limits = ReadingLimits(intake.max_message_bytes, intake.max_depth)
        return AwaitedResults(
            ResultReader(ResultPlaces(intake.result_places), limits=limits, http=self._environment.http),
            self._policy_of_awaited,
            failures=FailurePolicy(graces_of(self.settings)),
            max_bytes=self.settings.delivery.wave_bytes,
            stop=self.stop_event,
            executor=self._environment.executor,
        )

    def _make_reader(self) -> InboxReader:
        intake = self.settings.intake
        consumer = f"{self._environment.worker}-{secrets.token_hex(4)}"
        inbox = inbox_of(self.settings, consumer, self._environment)
        limits = ReaderLimits(intake.batch, intake.recover_seconds, intake.max_waiting)
        same = not self.settings.broker_is_redis or self._broker_is_spool()
        return InboxReader(
            inbox,
            self.admitter,
            self.spool,
            limits,
            same_redis=same,
            stop=self.stop_event,
            admitted=self.scheduler.came,
            observer=self._observer,
        )

    def _broker_is_spool(self) -> bool:
        if self.settings.broker == self.settings.redis:
            return True
        return same_server(self._environment.connect(self.settings.broker), self.spool.redis)
