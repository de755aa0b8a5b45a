"""Take a project, run one wave, give the project back."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Executor

import redis

from worker.delivery.adaptive_limit import AdaptiveLimit
from worker.delivery.assets import AssetKeeper
from worker.delivery.awaited import AwaitedResults
from worker.delivery.bucket import Bucket
from worker.delivery.circuit_breaker import CircuitBreaker, Pause
from worker.delivery.clients import DeliveryClients
from worker.delivery.content import ContentSource
from worker.delivery.documents import Documents
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.imports import Imports
from worker.delivery.leasing import EntryLeaser, Lease, LeaseBudget, LeaseKeeper
from worker.delivery.tools import DeliveryRules, WaveTools
from worker.delivery.uploads import Uploader
from worker.delivery.wave import Wave, WaveResult
from worker.delivery.written import WrittenLately
from worker.environment import clock
from worker.kili import KiliClient
from worker.kili.interfaces import InterfaceCache
from worker.projects.configuration import Projects
from worker.spool import LeaseLost, Outcome, Spool
from worker.tracing import NO_TRACES, Tracer

logger = logging.getLogger(__name__)


class Deliverer:
    """Runs waves for one process.

    Args:
        spool: where predictions wait.
        kili: the client for normal calls.
        prober: the client for a scope that was paused: it tries once.
        budget: asked before entries are leased, so that what is newest and most doubtful goes next.
        pace: how much may be sent at once.
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
