"""What the page shows and does: every route, every action, and every state without anything."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from pydantic import ValidationError

from tests.awaiting import awaited
from tests.unit.page.world import HOSTILE, WRONG, Browser, World, dead, drifted, members, message
from worker.feedback.messages import Links
from worker.page import letters
from worker.page.access import Role
from worker.page.answers import number, seconds
from worker.page.fleet import Live, event
from worker.page.letter_actions import Actor, WorkInProgress
from worker.settings.source_groups import PageSettings
from worker.spool import Arrival
from worker.spool.dead_letters import DeadLetters

ALL_PAGES = ["/", "/page/projects", "/page/letters", "/page/quality", "/page/fleet", "/page/audit"]
EMPTY = {
    "/": ["No message has come yet.", "There are no dead letters."],
    "/page/projects": ["No message has come yet."],
    "/page/letters": ["There are no dead letters."],
    "/page/quality": ["No alarm is open.", "No figures yet"],
    "/page/fleet": ["No process has given a sign yet.", "No message has come yet.", "Kili was not called yet."],
    "/page/audit": ["Nobody has done anything here yet."],
}


def words_of(text: str) -> str:
    """The words of the main part of a page."""
    main = text.partition("<main")[2].partition(">")[2].partition("</main>")[0]
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", main))


def letter(world: World, cause: str) -> str:
    (letter_id,) = world.redis.zrange(f"pw:dead:of:{cause}", 0, -1)  # type: ignore[misc]
    return str(letter_id.decode())


def entries(world: World) -> list[dict[str, Any]]:
    """The audit log, oldest first."""
    rows: Any = world.redis.xrange("pw:page:audit")
    return [json.loads(fields[b"entry"]) for _, fields in rows]


@pytest.mark.parametrize("path", ALL_PAGES)
def test_a_fleet_in_which_nothing_has_happened_is_shown_as_such(empty: World, path: str) -> None:
    response = empty.browser().get(path)

    assert response.status_code == 200
    for words in EMPTY[path]:
        assert words in words_of(response.text)


@pytest.mark.parametrize("path", ALL_PAGES)
def test_every_page_is_in_the_menu_and_says_which_it_is(world: World, path: str) -> None:
    text = world.browser().get(path).text

    assert f'<a href="{path}" aria-current="page">' in text
    assert text.count("aria-current") == 1
    assert all(f'<a href="{other}"' in text for other in ALL_PAGES)


def test_the_overview_shows_what_matters(world: World) -> None:
    world.browser().get("/")
    world.page.status._looked = float("-inf")  # the next request looks again, so that rates are known
    text = words_of(world.browser().get("/").text)

    assert "Project p-1 is paused" in text
    assert "Kili is not called: all projects are paused" in text
    assert "3 predictions wait" in text
    assert re.search(r"Next probe in (29|30)\u202fs", text)
    assert "give the key access to the project" in text
    assert "never at this rate" in text
    assert "Call budget, last minute 0 of 500" in text
    assert re.search(r"0 : 2 \+ 0, \d+\u202fs", text)


def test_what_is_wrong_with_redis_or_the_sum_is_said_first(empty: World) -> None:
    empty.redis.hset("pw:ledger", "received", 5)
    row = {"at": 1.0, "received": 9, "delivered": 1, "waiting": 3, "leased": 1}
    empty.redis.set("pw:replaced", json.dumps(row))
    text = words_of(empty.browser().get("/").text)

    assert "The conservation check is off by 5" in text
    assert "Redis was replaced" in text
    assert "4 were still on their way" in text


def test_projects_are_found_by_their_id_and_turned_page_by_page(empty: World) -> None:
    empty.wait_for([f"project-{number:03}" for number in range(120)], 1)
    someone = empty.browser()

    assert "page 1 of 3" in words_of(someone.get("/page/projects").text)
    assert "project-119" in someone.get("/page/projects?page=3").text
    assert "page 3 of 3" in words_of(someone.get("/page/projects?page=99999").text)
    assert "page 1 of 3" in words_of(someone.get("/page/projects?page=-1").text)
    found = words_of(someone.get("/page/projects?search=T-07").text)
    assert "project-077" in found
    assert "project-080" not in found
    assert "No project has this in its id" in words_of(someone.get("/page/projects?search=nothing").text)
    assert "105 more projects" in words_of(someone.get("/").text)


def test_a_project_shows_its_lanes_and_its_model_versions(world: World) -> None:
    text = words_of(world.browser().get("/page/project?id=p-1").text)

    assert "Project p-1 is paused" in text
    assert re.search(r"0 2 0 \d+\u202fs", text)
    assert "m:1" in text
    assert "accuracy fell: raised" in text


@pytest.mark.parametrize("path", ["/page/project", "/page/report", "/page/quality/accept", "/page/letters/do"])
def test_an_address_that_lacks_something_says_what(world: World, path: str) -> None:
    response = world.browser().get(path)

    assert response.status_code == 400
    assert "follow a link of the page" in response.text


@pytest.mark.parametrize("path", ["/page/project?id=none", "/page/report?project=none", "/page/letter?id=1-1"])
def test_what_is_not_there_is_said_to_be_not_there(world: World, path: str) -> None:
    response = world.browser().get(path)

    assert response.status_code == 404
    assert 'href="/page/audit"' in response.text, "the menu leads on"


def test_letters_are_shown_by_cause_with_what_to_do(world: World) -> None:
    someone = world.browser()
    everything, one = someone.get("/page/letters").text, someone.get("/page/letters?cause=refused_by_kili").text

    assert "Fix: add the model&#39;s name and version" in everything
    assert everything.count('type="checkbox"') == 3
    assert one.count('type="checkbox"') == 1
    assert "Letters of the cause refused_by_kili" in words_of(one)


def test_letters_are_turned_page_by_page_newest_first(empty: World) -> None:
    for start in range(0, 60, 20):
        rows = [dead(WRONG, b"{}", external_id=f"asset-{start + number:02}") for number in range(20)]
        empty.spool.admit([Arrival("", tuple(rows), source="http")])
    someone = empty.browser()
    for cause in ("", "&cause=invalid_message"):
        pages = [someone.get(f"/page/letters?page={page}{cause}").text for page in (1, 2, 3)]
        shown = [re.findall(r'value="(\d+-\d+)"', page) for page in pages]
        moments = [int(one.partition("-")[0]) for one in itertools.chain(*shown)]

        assert [len(one) for one in shown] == [25, 25, 10]
        assert len(set(itertools.chain(*shown))) == 60, "each letter is on one page, also of those of one millisecond"
        assert moments == sorted(moments, reverse=True)


def test_a_letter_is_shown_with_its_original_and_its_history(world: World) -> None:
    text = words_of(world.browser().get(f"/page/letter?id={letter(world, 'refused_by_kili')}").text)

    assert "Kili's message: No: &lt;script&gt;" in text
    assert "2\u202fB, message" in text
    assert "intake, refused_by_kili" in text
    broken = words_of(world.browser().get(f"/page/letter?id={letter(world, 'not_json')}").text)
    assert "It cannot be edited here: the original is no text in UTF-8" in broken


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_a_letter_is_replayed_or_dropped_after_a_second_question(world: World, verb: str) -> None:
    someone, letter_id = world.browser(), letter(world, "invalid_message")
    question = someone.get(f"/page/letters/do?do={verb}&id={letter_id}")

    assert f"{verb.capitalize()} 1 dead letter?" in words_of(question.text)
    assert world.spool.ledger().dead == 3
    answer = someone.send(question)
    assert answer.status_code == 200
    assert words_of(answer.text).strip().startswith("Replayed" if verb == "replay" else "Dropped 1 dropped")
    (entry,) = entries(world)
    assert (entry["who"], entry["address"], entry["what"]) == ("Ada (operator)", "192.0.2.7", f"{verb} dead letters")
    assert entry["target"] == letter_id
    assert "Ada (operator)" in someone.get("/page/audit").text
    assert DeadLetters(world.redis, "pw:").get(letter_id) is None
    assert world.spool.ledger().dead == (3 if verb == "replay" else 2)
    assert world.spool.ledger().conservation_error == 0


def test_what_was_done_by_somebody_else_meanwhile_is_said_to_be_gone(world: World) -> None:
    someone, letter_id = world.browser(), letter(world, "invalid_message")
    question = someone.get(f"/page/letters/do?do=replay&id={letter_id}")
    world.spool.drop(letter_id)

    assert "0 admitted, 0 superseded, 0 dead, 1 gone" in words_of(someone.send(question).text)


@pytest.mark.parametrize(
    ("verb", "words"), [("replay", "5 admitted, 0 superseded, 0 dead, 0 gone"), ("drop", "5 dropped")]
)
def test_all_letters_of_a_cause_go_at_the_rate_that_is_set(empty: World, verb: str, words: str) -> None:
    good = json.dumps(message()).encode()
    rows = [dead(WRONG, good.replace(b"a.jpg", b"%d.jpg" % number)) for number in range(5)]
    empty.spool.admit([Arrival("", tuple(rows), source="http")])
    someone = empty.browser()
    answer = someone.send(someone.get(f"/page/letters/do?do={verb}&cause=invalid_message"))

    assert answer.status_code == 303
    awaited(lambda: len(entries(empty)) == 2, "the end in the audit log")
    assert [one["outcome"] for one in entries(empty)] == ["begun, 5 letters", words]
    assert empty.spool.ledger().dead == 0
    assert empty.spool.ledger().conservation_error == 0
    assert empty.redis.get("pw:page:work") is None


def test_while_many_letters_go_it_is_shown_and_no_others_begin(world: World) -> None:
    row = {"verb": "replay", "cause": "not_json", "who": "Bo (operator)", "done": 7, "total": 9}
    world.redis.set("pw:page:work", json.dumps(row), ex=30)
    someone = world.browser()

    assert "Replaying the letters of not_json for Bo (operator): 7 of 9." in words_of(someone.get("/page/letters").text)
    answer = someone.send(someone.get("/page/letters/do?do=drop&cause=not_json"))
    assert answer.status_code == 409
    assert world.spool.ledger().dead == 3
    with pytest.raises(WorkInProgress):
        world.page._letters._work.all_of("drop", "not_json", Actor("x", "y"))


def test_a_process_that_ends_says_how_far_it_came(empty: World) -> None:
    rows = [dead(WRONG, b"{}") for _ in range(3)]
    empty.spool.admit([Arrival("", tuple(rows), source="http")])
    someone = empty.browser()
    question = someone.get("/page/letters/do?do=drop&cause=invalid_message")
    empty.stop.set()
    someone.send(question)

    awaited(lambda: len(entries(empty)) == 2, "the end in the audit log")
    assert entries(empty)[1]["outcome"].startswith("interrupted by the end of the process: 0 dropped")
    assert empty.spool.ledger().dead == 3


def test_an_edit_is_checked_shown_and_replayed(world: World) -> None:
    someone, letter_id = world.browser(), letter(world, "invalid_message")
    page = someone.get(f"/page/letter/edit?id={letter_id}")
    unchanged = someone.send(page)
    still = someone.send(page, text=json.dumps(message(model={"name": "m"})))
    mended = someone.send(page, text=json.dumps(message("mended.jpg"), indent=2).replace("\n", "\r\n"))

    assert unchanged.status_code == still.status_code == 422
    assert "Nothing was changed" in unchanged.text
    assert "Still wrong: model.version" in words_of(still.text)
    assert "<ins>+    &#34;name&#34;: &#34;m&#34;,</ins>" in mended.text
    assert "<del>-  &#34;model&#34;: null,</del>" in mended.text
    assert world.spool.ledger().dead == 3
    done = someone.send(mended)
    assert "1 admitted" in words_of(done.text)
    (entry,) = entries(world)
    assert '-  "model": null,' in entry["detail"]
    assert world.spool.ledger().dead == 2
    assert world.spool.ledger().conservation_error == 0
    token = world.spool.acquire("p-1")
    assert token is not None
    leased = world.spool.lease("p-1", token, items=100, max_bytes=10**6, aging_ms=10**6)
    (payload,) = [json.loads(one.payload) for one in leased if one.payload != b"{}"]
    assert payload == message("mended.jpg")


def test_an_edit_that_dies_again_shows_what_was_changed(world: World) -> None:
    someone, letter_id = world.browser(), letter(world, "invalid_message")
    found = DeadLetters(world.redis, "pw:").get(letter_id)
    assert found is not None
    actor = Actor("Ada (operator)", "here")
    world.page._letters._work.edited(found, b'{"still": "wrong"}', "message", '-"a"\n+"b"', actor)
    text = world.browser().get(f"/page/letter?id={letter(world, 'invalid_message')}").text

    assert "<ins>+&#34;b&#34;</ins>" in text
    assert "edited, invalid_message" in words_of(text)
    assert someone.get(f"/page/letter?id={letter_id}").status_code == 404


def test_nothing_that_is_still_wrong_is_replayed_without_its_check(world: World) -> None:
    someone = world.browser()
    page = someone.get(f"/page/letter/edit?id={letter(world, 'invalid_message')}")
    form = {"mark": re.findall(r'name="mark" value="([^"]+)"', page.text)[0], "id": letter(world, "invalid_message")}

    assert someone.post("/page/letter/replace", {**form, "text": "{}"}).status_code == 422
    assert someone.post("/page/letter/replace", {**form, "text": " "}).status_code == 400
    assert entries(world) == []


def test_a_message_of_celery_is_edited_as_the_prediction_that_it_carries(empty: World) -> None:
    body = json.dumps([[message(model=None)], {}, {}])
    envelope = {"body": body, "headers": {"task": "predictions.ingest"}, "content-type": "application/json"}
    one = dead(WRONG, json.dumps(envelope).encode())
    letter_text = json.loads(one.letter) | {"form": "envelope"}
    one = type(one)(one.project, one.cause, json.dumps(letter_text).encode(), one.original)
    empty.spool.admit([Arrival("", (one,), source="celery")])
    someone = empty.browser()
    page = someone.get(f"/page/letter/edit?id={letter(empty, 'invalid_message')}")
    done = someone.send(someone.send(page, text=json.dumps(message())))

    assert "1 admitted" in words_of(done.text)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', "no json", "[" * 100_000, ""],
)
def test_what_would_be_altered_by_laying_it_out_is_left_as_it_is(text: str) -> None:
    assert letters.laid_out(text) == text


def test_numbers_and_letters_survive_the_laying_out() -> None:
    text = '{"a":[0.1,12345678901234567890,1e-7],"é":"\\ud83d\\ude00"}'

    assert json.loads(letters.laid_out(text)) == json.loads(text)
    assert "\n" in letters.laid_out(text)


def test_a_long_diff_is_cut_and_says_so() -> None:
    found = letters.changes("", "\n".join(map(str, range(1000))))

    assert len(found) == letters.MAX_LINES + 1
    assert found[-1] == ("@", "601 more lines")


def test_an_alarm_is_acknowledged_after_a_second_question(world: World) -> None:
    someone = world.browser()
    page = someone.get("/page/quality")
    links = re.findall(r'href="(/page/quality/accept[^"]+)"', page.text)
    assert links
    question = someone.get(links[0].replace("&amp;", "&"))

    assert "Its detector learns anew" in question.text
    assert someone.send(question).status_code == 303
    assert world.redis.hlen("pw:feedback:p-1:acknowledged") == 1
    assert entries(world)[0]["what"] == "acknowledge drift alarm"
    assert links[0] not in someone.get("/page/quality").text
    assert someone.send(question).status_code == 404


def test_quality_shows_agreement_with_its_interval(world: World) -> None:
    text = words_of(world.browser().get("/page/quality").text)

    assert re.search(r"\d+\.\d\u202f% \(\d+\.\d\u202f% to \d+\.\d\u202f%\)", text)
    assert "Fell most when the model says" in text


def test_the_fleet_shows_processes_sources_and_calls(world: World) -> None:
    text = words_of(world.browser().get("/page/fleet").text)

    assert "1 process has given no sign for a minute" in text
    assert "host-1 worker 0.1.0 works 2" in text
    assert "stream 6" in text
    assert "createLabels RateLimited 1" in text
    assert [one["name"] for one in members(world)] == ["host-1", f"host-2{HOSTILE}"]


def test_the_report_leads_to_a_page_of_each_version(world: World) -> None:
    links = Links.of("https://kili.example/api/label/v2/graphql", "p-1")
    world.page._reports._make = lambda _project: (drifted(), links)  # type: ignore[method-assign]
    someone, models = world.browser(), [one["model"] for one in drifted()["models"]]
    overview = someone.get("/page/report?project=p-1")
    places = [unescape(place) for place in re.findall(r'href="(/page/report[^"]+)"', overview.text)]
    assert len(set(places)) == len(models) == 2
    for place in places:
        page = someone.get(place)
        assert page.status_code == 200
        assert 'href="/page/report?project=p-1"' in page.text
        assert sum(f"<h1>{model}</h1>" in unescape(page.text) for model in models) == 1
        assert HOSTILE not in page.text
    assert HOSTILE not in overview.text
    assert f"/page/report?{urlencode({'project': 'p-1', 'model': models[0]})}" in unescape(
        someone.get("/page/quality").text
    )
    assert someone.get("/page/report?project=p-1&model=nobody").status_code == 404


def test_a_report_of_a_kili_that_does_not_answer_says_so(world: World) -> None:
    response = world.browser().get("/page/report?project=p-1")

    assert response.status_code == 502
    assert "no report" in response.text


def test_without_redis_the_page_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    someone = world.browser()

    def away(*_: object, **__: object) -> None:
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr("worker.page.fleet.collect", away)
    world.page.status._looked = float("-inf")
    response = someone.get("/")
    assert response.status_code == 503
    assert "Redis cannot be asked: connection refused" in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_figures_are_asked_for_once_however_many_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    from worker.page import fleet

    real = fleet.collect
    monkeypatch.setattr(fleet, "collect", lambda *args: asked.append(1) or real(*args))
    monkeypatch.setattr(fleet, "AGE_SECONDS", 60.0)
    people = [world.browser() for _ in range(3)]
    for one in people:
        one.get("/")

    assert len(asked) == 1


def test_changes_are_sent_once_and_the_stream_ends_with_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.page.fleet.EVERY_SECONDS", 0.0)
    texts = iter(["one", "one", "two\nlines", "two\nlines"])
    live, got = Live(world.stop), []

    def part() -> str:
        found = next(texts, None)
        if found is None:
            world.stop.set()
        return found or ""

    async def listen() -> None:
        response: Any = live.response(part)
        assert response.media_type == "text/event-stream"
        got.extend([chunk async for chunk in response.body_iterator])

    asyncio.run(listen())
    assert got == [b"event: change\ndata: one\n\n", b"event: change\ndata: two\ndata: lines\n\n"]
    assert live._open == 0


def test_no_text_ends_an_event_before_its_end() -> None:
    assert event("change", "a\n\nevent: x\r\rdata: y\u2028z") == (
        b"event: change\ndata: a\ndata: \ndata: event: x\ndata: \ndata: data: y\ndata: z\n\n"
    )


@pytest.mark.parametrize("part", ["overview", "projects", "letters", "fleet"])
def test_what_is_sent_is_a_part_of_the_page(world: World, part: str) -> None:
    template, view = world.page._parts[part]
    someone = world.browser()
    session = world.page._sessions.session(next(iter(someone.cookies.values())))
    from worker.page.answers import Asked

    assert session is not None
    text = world.page._renderer.part(template, Asked("/page/live/x", session, "here"), view(Asked("", session, "here")))
    assert "<html" not in text
    assert "<table" in text


def test_renewing_can_be_stopped(world: World) -> None:
    someone = world.browser()
    running, stopped = someone.get("/page/letters?cause=not_json").text, someone.get("/?live=off").text

    assert 'sse-connect="/page/live/letters?cause=not_json"' in running
    assert "sse-connect" not in stopped
    assert 'href="/">Renew by itself' in stopped


def test_there_is_no_page_unless_a_token_is_set() -> None:
    assert not PageSettings().is_on
    assert not PageSettings(token="", read_token="").is_on  # type: ignore[arg-type]
    assert PageSettings(read_token="reader-token-0123456789").is_on  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"token": "short"}, "at least 16 characters"),
        ({"token": "the-same-token-twice", "read_token": "the-same-token-twice"}, "readers could act"),
    ],
)
def test_a_token_that_protects_nothing_is_refused(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as refused:
        PageSettings(**wrong)  # type: ignore[arg-type]
    assert "the-same-token" not in str(refused.value).partition("input_value")[0]


def test_with_a_token_for_readers_alone_nobody_can_act(client: redis.Redis, world: World) -> None:
    alone = World(world.settings.redis, token=None)

    assert alone.browser(None).log_in("operator-token-0123456789").status_code == 401
    forged = world.page._sessions
    someone = Browser(alone.app)
    someone.cookies = {"prediction_worker_page": forged.begin(Role.OPERATOR, "Eve")}
    assert someone.get("/page/letters/do?do=drop&cause=not_json").status_code == 303


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "unknown"), (0, "0"), (1234567, "1,234,567"), (0.1234, "0.12"), (12.34, "12.3"), (5.0, "5")],
)
def test_numbers_are_for_people(value: float | None, words: str) -> None:
    assert number(value) == words


def test_spans_are_for_people() -> None:
    assert (seconds(None), seconds(float("inf")), seconds(7200)) == ("unknown", "never at this rate", "2\u202fh")
