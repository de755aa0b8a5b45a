"""The scheduler of a process: it looks for projects with a wave due, and has a deliverer run the waves here.

Every process looks, and takes no more projects than it can begin at once; what is left is another's. A project that was
taken is not offered again until its wave has ended, or for two seconds if the wave never began. The project's lock
decides in the end, so looking twice does no harm. No message is needed for it: what frees a full Redis needs no room
there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor

import redis

from worker.delivery.assets import AssetKeeper
from worker.delivery.bisect import DeliveryClients
from worker.delivery.circuit_breaker import CircuitBreaker, Documents, Pause
from worker.delivery.content import ContentSource, Imports
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.in_flight import AdaptiveLimit
from worker.delivery.item import WrittenLately
from worker.delivery.leasing import DeliveryRules, EntryLeaser, Lease, LeaseBudget, LeaseKeeper, WaveTools
from worker.delivery.prepare import AwaitedResults
from worker.delivery.uploads import Bucket, Uploader
from worker.delivery.wave import Wave, WaveResult
from worker.environment import clock
from worker.environment.connections import threads
from worker.kili import KiliClient
from worker.kili.interfaces import InterfaceCache
from worker.projects.configuration import Projects
from worker.spool import LeaseLost, Outcome, Spool
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs the waves that are due, several side by side.

    Args:
        spool: asked for due projects.
        deliver: runs one wave of a project; True when much is left.
        beat: called at every tick with what keeps delivery waiting, empty when nothing does (the heartbeat).
        full: waiting predictions that make a batch.
        linger: longest wait for a batch to fill, in seconds.
        every: seconds between ticks.
        threads: waves that may run here at once.
        stop: ends the scheduler.
        executor: runs the waves.
    """

    SILENCE_MS = 2000
    AHEAD = 1.5
    """Ticks by which a wave begins before the linger time is over."""

    SOONEST = 0.25
    """Of a tick: how soon one look may follow another because something was admitted."""

    QUIET_LOOKS, QUIET_SECONDS = 50, 0.2
    """After so many looks in vain the next ticks are at least so far apart, until something is admitted here."""

    def __init__(
        self,
        spool: Spool,
        deliver: Callable[[str], bool],
        beat: Callable[[str], None],
        *,
        full: int,
        linger: float,
        every: float,
        threads: int,
        stop: threading.Event,
        executor: Callable[[int, str], Executor] = threads,
    ) -> None:
        self._spool = spool
        self._deliver = deliver
        self._beat = beat
        self._full = full
        self._linger_ms = max(0, int((linger - self.AHEAD * every) * 1000))
        self._every = every
        self._threads = threads
        self._stop = stop
        self._pool = executor(threads, "wave")
        self._running: set[str] = set()
        self._guard = threading.Lock()
        self._woken = threading.Event()
        self._looked = float("-inf")
        self._in_vain = 0
        self._trouble = ""

    def run(self) -> None:
        """Look at every tick, and when woken, until the worker stops; survives every failure of Redis."""
        tick = clock.monotonic()
        while not self._stop.is_set():
            if clock.monotonic() >= tick:
                self.step()
                tick = clock.monotonic() + self._pause
            else:
                self.look()
            clock.wait(self._woken, max(0.0, tick - clock.monotonic()))
            self._woken.clear()

    @property
    def _pause(self) -> float:
        """Seconds to the next tick."""
        return max(self._every, self.QUIET_SECONDS) if self._is_quiet else self._every

    @property
    def _is_quiet(self) -> bool:
        return self._in_vain >= self.QUIET_LOOKS

    def step(self) -> None:
        """Tick once."""
        self.look()
        self._beat(self._trouble)

    def look(self) -> None:
        """Begin what is due."""
        trouble = self._start_due()
        if trouble and trouble != self._trouble:
            logger.warning("delivery waits: %s", trouble, extra={"action": "delivery_waits"})
        elif self._trouble and not trouble:
            logger.info("delivery goes on", extra={"action": "delivery_resumed"})
        self._trouble = trouble

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    def came(self) -> None:
        """Something may be due now; look at once, unless that was just done."""
        was_quiet, self._in_vain = self._is_quiet, 0
        if was_quiet or clock.monotonic() - self._looked >= self.SOONEST * self._every:
            self._woken.set()

    def run_wave(self, project: str) -> None:
        """Run one wave of a project, in the thread that calls."""
        self._after(much_is_left=self._wave(project))

    def close(self) -> None:
        """Wait for the waves that run here."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start_due(self) -> str:
        self._looked = clock.monotonic()
        free = self._threads - len(self._running)
        if free <= 0:
            return self._trouble
        try:
            projects = self._spool.due(
                full=self._full, linger_ms=self._linger_ms, silence_ms=self.SILENCE_MS, most=free
            )
        except (redis.RedisError, OSError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        self._in_vain = 0 if projects or self._running else self._in_vain + 1
        for project in projects:
            self._start(project)
        return ""

    def _start(self, project: str) -> None:
        with self._guard:
            if project in self._running:
                return
            self._running.add(project)
        try:
            self._pool.submit(self._run, project)
        except RuntimeError:  # closed: the worker is ending
            self._ended(project)

    def _run(self, project: str) -> None:
        much_is_left = False
        try:
            much_is_left = self._wave(project)
        except Exception:
            logger.exception("wave failed", extra={"action": "wave_failed", "project": project})
        finally:
            self._ended(project)
        self._after(much_is_left=much_is_left)

    def _wave(self, project: str) -> bool:
        try:
            return self._deliver(project)
        except redis.RedisError as error:
            logger.warning("wave ended: %s", error, extra={"action": "wave_ended", "project": project})
            return False

    def _after(self, *, much_is_left: bool) -> None:
        """A slot is free again; only what is known to be due is worth a look in any case."""
        if much_is_left:
            self.wake()
        else:
            self.came()

    def _ended(self, project: str) -> None:
        with self._guard:
            self._running.discard(project)


class Deliverer:
    """Takes a project, runs one wave, gives the project back; for one process.

    Args:
        spool: where predictions wait.
        kili: the client for normal calls.
        prober: the client for a scope that was paused: it tries once.
        budget: asked before entries are leased, so that what is newest and most doubtful goes next.
        adaptive_limit: how much may be sent at once.
        pool: runs a wave's batches side by side.
        ahead: makes a wave's next entries ready beside them; by default the same.
        rules: limits and times.
        projects: the configuration of each project's outputs.
        awaited: completes predictions whose results are elsewhere.
        stop: set when the worker drains.
        worker: its name.
        has_threads: whether the locks of running waves are renewed from a thread.
        tracer: told of batches and outcomes.
    """

    def __init__(
        self,
        spool: Spool,
        kili: KiliClient,
        prober: KiliClient,
        *,
        budget: LeaseBudget,
        adaptive_limit: AdaptiveLimit,
        pool: Executor,
        rules: DeliveryRules,
        projects: Projects,
        awaited: AwaitedResults,
        stop: threading.Event,
        worker: str = "",
        has_threads: bool = True,
        tracer: Tracer = NO_TRACES,
        ahead: Executor | None = None,
    ) -> None:
        self._spool = spool
        self._budget = budget
        self._rules = rules
        self._projects = projects
        self._awaited = awaited
        self._stop = stop
        self._tracer = tracer
        self._adaptive_limit = adaptive_limit
        self._pool = pool
        self._ahead = ahead or pool
        self._failures = FailurePolicy(rules.graces)
        self.leases = LeaseKeeper(spool, has_thread=has_threads)
        self.breaker = CircuitBreaker(
            spool.redis,
            spool.prefix,
            first=rules.probe,
            cap=rules.probe_cap,
            retry_after_cap=rules.retry_after_cap,
            worker=worker,
        )
        self._bucket = Bucket(self._failures)
        self._tools = self._tools_with(DeliveryClients(kili, prober, stop, failures=self._failures))
        self._probing = self._tools_with(DeliveryClients(kili, prober, stop, probing=True, failures=self._failures))

    def deliver(self, project: str) -> bool:
        """Run one wave of a project, unless another worker does; True when more is waiting than a batch.

        Raises:
            redis.RedisError: Redis is away; nothing is lost, the lock ends by itself.
        """
        pauses = self.breaker.of(project)
        if self._stop.is_set() or not self.breaker.may_try(pauses):
            return False
        try:
            with self.leases.hold(project) as lease:
                if lease is None or not self._await_call():
                    return False
                result = self._wave(lease, pauses)
        finally:
            self.breaker.tried(pauses)
        return result is not None and result.failure is None and self._much_is_left(project)

    def _wave(self, lease: Lease, pauses: list[Pause]) -> WaveResult | None:
        begun = clock.monotonic()
        try:
            leaser = EntryLeaser(self._spool, lease, self._budget, self._rules, stop=self._stop, probing=bool(pauses))
            entries = leaser.first()
            if not entries:
                return None
            result = Wave(self._probing if pauses else self._tools, lease).run(entries, leaser)
        except LeaseLost:
            logger.warning("lock lost", extra={"action": "lease_lost", "project": lease.project})
            return None
        except redis.RedisError:
            raise
        except Exception as error:
            logger.exception("wave failed", extra={"action": "wave_failed", "project": lease.project})
            self.breaker.failed(lease.project, error)
            return None
        self._log_result(result, clock.monotonic() - begun)
        self._conclude(result, pauses)
        return result

    def _conclude(self, result: WaveResult, pauses: list[Pause]) -> None:
        if self._stop.is_set():
            return
        if result.failure is not None:
            self.breaker.failed(result.project, result.failure)
        elif result.answered:
            self.breaker.succeeded(pauses)

    def _log_result(self, result: WaveResult, seconds: float) -> None:
        counts = {str(outcome): count for outcome, count in result.outcomes.items()}
        extra = {"action": "wave", "project": result.project, "seconds": round(seconds, 3), **counts}
        logger.info("wave: %s", ", ".join(f"{count} {outcome}" for outcome, count in counts.items()), extra=extra)
        if result.outcomes.get(Outcome.DEAD):
            message = "%d predictions became dead letters"
            logger.warning(message, result.outcomes[Outcome.DEAD], extra={**extra, "action": "dead_lettered"})

    def _await_call(self) -> bool:
        while not self._stop.is_set():
            wait = self._budget.peek()["next_in"]
            if wait <= 0:
                return True
            clock.wait(self._stop, min(wait, 1.0))
        return False

    def _much_is_left(self, project: str) -> bool:
        return not self._stop.is_set() and self._spool.ledger(project).waiting >= self._rules.batch_items

    def _tools_with(self, clients: DeliveryClients) -> WaveTools:
        rules, client, prefix = self._rules, self._spool.redis, self._spool.prefix
        imports = Imports(client, prefix, clients)
        return WaveTools(
            clients=clients,
            spool=self._spool,
            interfaces=InterfaceCache(client, prefix, rules.interface_age, clients.first.project_interface),
            projects=self._projects,
            awaited=self._awaited,
            assets=AssetKeeper(clients, WrittenLately(client, prefix), imports),
            content=ContentSource(Uploader(clients, self._bucket), rules.path_roots),
            imports=imports,
            documents=Documents(client, prefix, wanted=rules.one_document),
            pool=self._pool,
            ahead=self._ahead,
            adaptive_limit=self._adaptive_limit,
            batch_items=rules.batch_items,
            tracer=self._tracer,
        )
