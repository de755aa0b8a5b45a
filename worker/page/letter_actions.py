"""What is done to dead letters: replayed, dropped, edited and replayed; many of them in a thread of its own."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import redis

from worker.environment import clock
from worker.environment.connections import insist
from worker.environment.json_text import of_stored
from worker.intake import Admitter, MessageParser
from worker.page.access import AuditLog
from worker.settings.tree import Settings
from worker.spool import Admission, Dead, Spool
from worker.spool.dead_letters import DeadLetter, DeadLetters, Form, event_of
from worker.tracing import NO_TRACES, Tracer
from worker.wiring import admitter_of, projects_of, rules_of

logger = logging.getLogger(__name__)

Verb = Literal["replay", "drop"]

ALIVE_SECONDS = 30
REPORT_SECONDS = 1.0
MAX_DIFF = 2000


class WorkInProgress(Exception):
    """Many letters are being replayed or dropped at the moment."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where."""

    who: str
    address: str


@dataclass(frozen=True, slots=True)
class ActionProgress:
    """How far the letters of a cause are."""

    verb: str
    cause: str
    who: str
    done: int
    total: int


class LetterActions:
    """Does it, and notes it in the audit log.

    Args:
        settings: of the fleet; replayed messages are judged by them.
        spool: where letters are.
        audit: the log.
        stop: set when the process ends.
        tracer: notified of what is admitted again.
    """

    def __init__(
        self, settings: Settings, spool: Spool, audit: AuditLog, stop: threading.Event, tracer: Tracer = NO_TRACES
    ) -> None:
        self.letters = DeadLetters(spool.redis, spool.prefix)
        self.parser = MessageParser(rules_of(settings), projects_of(settings), checks_only=True)
        self._settings = settings
        self._spool = spool
        self._audit = audit
        self._stop = stop
        self._tracer = tracer
        self._guard = threading.Lock()
        self._admitter: Admitter | None = None
        self._key = f"{spool.prefix}page:work"

    def now(self, verb: Verb, letter_ids: Sequence[str], actor: Actor) -> str:
        """Replay or drop a few letters; what came of it, in words.

        Raises:
            redis.RedisError: some may be done.
        """
        message = self._do(verb, letter_ids)
        self._audit.note(actor.who, actor.address, f"{verb} dead letters", " ".join(letter_ids), message)
        return message

    def edited(self, letter: DeadLetter, text: bytes, form: Form, diff: str, actor: Actor) -> str:
        """Replay a letter with another text in the place of its original; the change is kept in its history."""
        event = event_of("edited", letter.cause, diff=diff[:MAX_DIFF])
        about = {**letter.about, "form": form, "history": [*letter.about.get("history", []), event]}
        message = self._replay(replace(letter, original=text, about=about)).text()
        self._keep_counts()
        self._audit.note(actor.who, actor.address, "edit and replay dead letter", letter.id, message, diff)
        return message

    def all_of(self, verb: Verb, cause: str, actor: Actor) -> int:
        """Begin to replay or drop every letter that a cause has now, at the rate of the settings; how many they are.

        Raises:
            WorkInProgress: others are not done yet.
        """
        total = self.letters.causes().get(cause, 0)
        if not self._write_progress(self._row(verb, cause, actor, 0, total), "NX"):
            raise WorkInProgress
        self._audit.note(
            actor.who, actor.address, f"{verb} all dead letters of a cause", cause, f"begun, {total} letters"
        )
        args = (verb, cause, actor)
        threading.Thread(target=self._run, args=args, name="letters", daemon=True).start()
        return total

    def progress(self) -> ActionProgress | None:
        """What is under way, on whichever instance of the page."""
        found: Any = self._spool.redis.get(self._key)
        return of_stored(ActionProgress, found) if found else None

    def still_wrong(self, form: Form, text: bytes) -> list[dict[str, Any]]:
        """What admission would refuse of an edited message: field, problem, fix."""
        found = self.parser.of_original(form, text)
        return [json.loads(one.letter) for one in found if isinstance(one, Dead)]

    def _run(self, verb: Verb, cause: str, actor: Actor) -> None:
        try:
            message = self._all(verb, cause, actor)
        except redis.RedisError as error:
            message = f"interrupted by Redis: {error}; begin again for the rest"
        except Exception as error:
            logger.exception("letters of %s not done", cause, extra={"action": "letters_failed", "cause": cause})
            message = f"interrupted: {type(error).__name__}; see the log, and begin again for the rest"
        try:
            self._spool.redis.delete(self._key)
            self._audit.note(actor.who, actor.address, f"{verb} all dead letters of a cause", cause, message)
        except redis.RedisError as error:
            logger.warning("end not noted: %s: %s", message, error, extra={"action": "audit_not_noted"})

    def _all(self, verb: Verb, cause: str, actor: Actor) -> str:
        letter_ids, reported_at, total = self.letters.ids(cause), float("-inf"), Admission(0, 0, 0, 0)
        begun, dropped = clock.monotonic(), 0
        for number, letter_id in enumerate(letter_ids):
            if clock.wait(self._stop, max(0.0, begun + number / self._settings.page.replay_rate - clock.monotonic())):
                return (
                    f"interrupted by the end of the process: {_outcome(verb, total, dropped)}; begin again for the rest"
                )
            if verb == "drop":
                dropped += self._spool.drop(letter_id)
            else:
                total += self._replay(self.letters.get(letter_id))
            if clock.monotonic() - reported_at > REPORT_SECONDS:
                reported_at = clock.monotonic()
                self._write_progress(self._row(verb, cause, actor, number + 1, len(letter_ids)))
        self._keep_counts()
        return _outcome(verb, total, dropped)

    def _do(self, verb: Verb, letter_ids: Sequence[str]) -> str:
        if verb == "drop":
            return _outcome(verb, Admission(0, 0, 0, 0), sum(self._spool.drop(one) for one in letter_ids))
        total = Admission(0, 0, 0, 0)
        for letter_id in letter_ids:
            total += self._replay(self.letters.get(letter_id))
        self._keep_counts()
        return total.text()

    def _replay(self, letter: DeadLetter | None) -> Admission:
        if letter is None:
            return Admission(0, 0, 0, skipped=1)
        with self._guard:
            if self._admitter is None:
                self._admitter = admitter_of(self._settings, self._spool, tracer=self._tracer)
            return self._admitter.replay(letter)

    def _keep_counts(self) -> None:
        with self._guard:
            if self._admitter is not None:
                self._admitter.keep()

    def _write_progress(self, row: str, *options: str) -> bool:
        return bool(insist(self._spool.redis, "SET", self._key, row, "EX", ALIVE_SECONDS, *options))

    @staticmethod
    def _row(verb: Verb, cause: str, actor: Actor, done: int, total: int) -> str:
        return json.dumps({"verb": verb, "cause": cause, "who": actor.who, "done": done, "total": total})


def _outcome(verb: Verb, total: Admission, dropped: int) -> str:
    return f"{dropped} dropped" if verb == "drop" else total.text()
