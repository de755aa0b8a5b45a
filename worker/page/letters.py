"""Dead letters on the page: seen by cause, one at a time, and replayed, dropped or edited after a second question."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from starlette.responses import Response

from worker.intake import MessageParser
from worker.page.answers import Asked, NotPossible, Renderer, Values, diff_rows, download, see_other
from worker.page.fleet import page_asked
from worker.page.letter_actions import Actor, LetterActions, Verb, WorkInProgress
from worker.spool.dead_letters import LETTER_ID, DeadLetter, Form

MAX_SHOWN = 20_000
MAX_EDITED = 200_000
MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class Draft:
    """What is edited: the text, and the form of a message that has it; ``problem`` says why it cannot be."""

    text: str
    form: Form
    problem: str = ""


def draft_of(letter: DeadLetter, parser: MessageParser) -> Draft:
    """The prediction that an original carries, or the original itself where it carries no single one."""
    form: Form = letter.about.get("form", "message")
    message = parser.message_in(form, letter.original)
    raw, form = (letter.original, form) if message is None else (message, "message")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Draft(raw.decode("utf-8", "replace"), form, "the original is no text in UTF-8")
    if len(raw) > MAX_EDITED:
        return Draft(text, form, f"the original is larger than {MAX_EDITED:,} bytes")
    return Draft(laid_out(text), form)


def laid_out(text: str) -> str:
    """JSON over several lines; as it is where that would change anything, or where it is no JSON."""
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        shown = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False)
        return shown if json.loads(shown) == found else text
    except (ValueError, RecursionError):
        return text


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ, with their surroundings: ``+``, ``-``, `` `` or ``@``, and the text."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    found = [(line[:1], line[1:]) for line in lines if not line.startswith(("---", "+++"))]
    return found if len(found) <= MAX_LINES else [*found[:MAX_LINES], ("@", f"{len(found) - MAX_LINES} more lines")]


def diff_text(rows: list[tuple[str, str]]) -> str:
    """The same as text, without what has not changed."""
    return "\n".join(f"{sign}{line}" for sign, line in rows if sign in "+-")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


ROWS = 25
MOST_CHOSEN = 200
VERBS = ("replay", "drop")


class LettersView:
    """Shows letters, and does what is asked of them.

    Args:
        work: reads and changes them.
        renderer: makes pages.
    """

    def __init__(self, work: LetterActions, renderer: Renderer) -> None:
        self._work = work
        self._letters = work.letters
        self._renderer = renderer

    def causes(self, asked: Asked) -> Values:
        """How many letters each cause has, and what is being done to them."""
        causes, oldest = self._letters.causes(), self._letters.oldest()
        rows = [{"cause": name, "count": count, "oldest_ms": oldest.get(name)} for name, count in causes.items()]
        return {"causes": rows, "chosen": asked.text("cause"), "progress": self._work.progress()}

    def listed(self, asked: Asked) -> Values:
        """The causes, and the letters of one of them or of all, newest first."""
        found = self.causes(asked)
        cause, expiry = asked.text("cause"), self._letters.expiry()
        total = sum(row["count"] for row in found["causes"] if cause in ("", row["cause"]))
        number, pages = page_asked(asked, total, ROWS)
        rows = self._letters.page(cause or None, start=(number - 1) * ROWS, count=ROWS)
        shown = {"rows": rows, "page": number, "pages": pages, "total": total, "notice": expiry}
        return {**found, **shown, "expired": self._letters.expired()}

    def one(self, asked: Asked) -> Values:
        """One letter with its history and its original."""
        letter = self._letter(asked.text("id"))
        draft = draft_of(letter, self._work.parser)
        history = [{**event, "changed": diff_rows(event.get("diff", ""))} for event in _history(letter)]
        shown, size = draft.text[:MAX_SHOWN], len(letter.original)
        cut = len(draft.text) > MAX_SHOWN
        return {"letter": letter, "draft": draft, "shown": shown, "cut": cut, "size": size, "history": history}

    def original(self, asked: Asked) -> Response:
        """The message as it arrived, to be saved."""
        letter = self._letter(asked.text("id"))
        return download(letter.original, f"dead-letter-{letter.id}.bin")

    def confirm(self, asked: Asked) -> Response:
        """Ask whether letters shall be replayed or dropped."""
        verb, ids, cause = _choice(asked.text("do"), asked.query.get("id", ()), asked.text("cause"))
        count = len(ids) if ids else self._count(cause)
        values = {"verb": verb, "ids": ids, "cause": cause, "count": count}
        return self._renderer.page("confirm.html", asked, values)

    def do(self, asked: Asked) -> Response:
        """Replay or drop letters."""
        verb, ids, cause = _choice(asked.sent("do"), asked.form.get("id", ()), asked.sent("cause"))
        if ids:
            message = self._work.now(verb, ids, _actor(asked))
            done = {"replay": "Replayed", "drop": "Dropped"}[verb]
            return self._renderer.page("done.html", asked, {"title": done, "words": message, "back": "/page/letters"})
        self._count(cause)
        try:
            self._work.all_of(verb, cause, _actor(asked))
        except WorkInProgress:
            raise NotPossible(
                409, "letters are being replayed or dropped already", "wait until that has ended"
            ) from None
        return see_other("/page/letters")

    def edit(self, asked: Asked) -> Response:
        """The original as text that can be edited."""
        letter = self._letter(asked.text("id"))
        draft = self._editable(letter)
        return self._renderer.page("edit.html", asked, {"letter": letter, "text": draft.text, "wrong": []})

    def preview(self, asked: Asked) -> Response:
        """What an edit changes, and whether admission would take it; asks whether it shall be replayed."""
        letter = self._letter(asked.sent("id"))
        draft, text = self._editable(letter), _edited(asked)
        wrong = self._work.still_wrong(draft.form, text.encode())
        changed = changes(draft.text, text)
        if wrong or not changed:
            values = {"letter": letter, "text": text, "wrong": wrong, "unchanged": not changed}
            return self._renderer.page("edit.html", asked, values, 422)
        return self._renderer.page("preview.html", asked, {"letter": letter, "text": text, "changed": changed})

    def replace(self, asked: Asked) -> Response:
        """Replay a letter with the text of an edit."""
        letter = self._letter(asked.sent("id"))
        draft, text = self._editable(letter), _edited(asked)
        if self._work.still_wrong(draft.form, text.encode()):
            return self.preview(asked)
        diff = diff_text(changes(draft.text, text))
        message = self._work.edited(letter, text.encode(), draft.form, diff, _actor(asked))
        return self._renderer.page("done.html", asked, {"title": "Replayed", "words": message, "back": "/page/letters"})

    def _letter(self, letter_id: str) -> DeadLetter:
        if not LETTER_ID.fullmatch(letter_id):
            raise NotPossible(400, "the address names no dead letter", "follow a link of the page")
        letter = self._letters.get(letter_id)
        if letter is None:
            raise NotPossible(
                404, f"the dead letter {letter_id} is gone", "it was replayed or dropped; see the audit log"
            )
        return letter

    def _editable(self, letter: DeadLetter) -> Draft:
        draft = draft_of(letter, self._work.parser)
        if draft.problem:
            raise NotPossible(
                422, f"it cannot be edited here: {draft.problem}", "save the original, and publish a new one"
            )
        return draft

    def _count(self, cause: str) -> int:
        count = self._letters.causes().get(cause)
        if count is None:
            raise NotPossible(404, "no dead letter has this cause", "they were replayed or dropped; see the audit log")
        return count


def _choice(verb: str, ids: Any, cause: str) -> tuple[Verb, list[str], str]:
    """What is to be done to which letters: some by id, or all of a cause."""
    if verb not in VERBS:
        raise NotPossible(400, "letters are replayed or dropped", "follow a link of the page")
    chosen = list(dict.fromkeys(ids))
    if not all(LETTER_ID.fullmatch(one) for one in chosen):
        raise NotPossible(400, "the address names no dead letter", "follow a link of the page")
    if len(chosen) > MOST_CHOSEN:
        raise NotPossible(400, f"more than {MOST_CHOSEN} letters were chosen", "choose fewer, or all of a cause")
    if bool(chosen) == bool(cause):
        raise NotPossible(400, "no letter was chosen", "choose letters, or one cause")
    return cast(Literal["replay", "drop"], verb), chosen, cause


def _edited(asked: Asked) -> str:
    """The edited text, with the line ends that it had before the browser sent it."""
    text = asked.sent("text").replace("\r\n", "\n")
    if not text.strip():
        raise NotPossible(400, "the text is empty", "drop the letter if it is not wanted")
    if len(text.encode("utf-8", "surrogatepass")) > 2 * MAX_EDITED:
        raise NotPossible(413, "the text is too large", "save the original, and publish a new one")
    return text


def _history(letter: DeadLetter) -> list[dict[str, Any]]:
    return list(reversed(letter.about.get("history", [])))


def _actor(asked: Asked) -> Actor:
    return Actor(asked.who, asked.address)
