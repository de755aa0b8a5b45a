"""Those who should not get in, or should not get out of what they may: each is refused or escaped."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from itsdangerous import URLSafeSerializer

from tests.unit.page.world import HOSTILE, READ_TOKEN, TOKEN, Browser, World, form_of
from worker.page.access import COOKIE, TRIES

PAGES = ["/", "/page/projects", "/page/project?id=p-1", "/page/letters", "/page/letter?id=1-1", "/page/quality"]
PAGES += ["/page/fleet", "/page/audit", "/page/report?project=p-1", "/page/letter/original?id=1-1"]
PAGES += ["/page/report?project=p-1&model=m%3A1"]
ASKS = ["/page/letters/do?do=drop&cause=not_json", "/page/letter/edit?id=1-1", "/page/quality/accept?project=p&alarm=a"]
DOES = ["/page/letters/do", "/page/letter/edit", "/page/letter/replace", "/page/quality/accept"]


def letter(world: World, cause: str) -> str:
    """The id of the letter of a cause."""
    (letter_id,) = world.redis.zrange(f"pw:dead:of:{cause}", 0, -1)  # type: ignore[misc]
    return str(letter_id.decode())


def links_of(text: str) -> list[str]:
    """Where a page leads."""
    return re.findall(r'(?:href|src|action)="([^"]*)"', text)


@pytest.mark.parametrize("path", [*PAGES, *ASKS])
def test_who_is_not_logged_in_sees_the_login_and_nothing_else(world: World, path: str) -> None:
    response = world.browser(None).get(path)

    assert response.status_code == 303
    assert response.headers["location"].startswith("/page/login")
    assert response.text == ""


@pytest.mark.parametrize("path", DOES)
def test_who_is_not_logged_in_does_nothing(world: World, path: str) -> None:
    response = world.browser(None).post(path, {"do": "drop", "cause": "not_json", "id": "1-1", "mark": ""})

    assert response.status_code == 401
    assert world.spool.ledger().dead == 3
    assert world.redis.xlen("pw:page:audit") == 0


def test_who_is_not_logged_in_gets_no_events(world: World) -> None:
    assert world.browser(None).get("/page/live/overview").status_code == 401


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", READ_TOKEN[:-1], "\ud800", "é" * 400])
def test_a_wrong_token_lets_nobody_in(world: World, token: str) -> None:
    someone = world.browser(None)
    response = someone.post("/page/login", {"token": token.encode("utf-8", "replace"), "name": "", "next": "/"})

    assert response.status_code == 401
    assert "This token is not valid" in response.text
    assert COOKIE not in someone.cookies
    assert someone.get("/").status_code == 303


def test_a_token_in_the_address_or_a_header_is_no_login(world: World) -> None:
    someone = world.browser(None)

    assert someone.get(f"/?token={TOKEN}").status_code == 303
    assert someone.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 303


def test_many_wrong_tokens_are_not_even_looked_at(world: World) -> None:
    someone = world.browser(None)
    answers = [someone.log_in(f"guess number {number}").status_code for number in range(TRIES)]
    last = someone.log_in(TOKEN)

    assert set(answers) == {401}
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) > 0
    assert COOKIE not in someone.cookies


@pytest.mark.parametrize("path", ASKS)
def test_a_reader_is_not_asked_whether_he_means_it(world: World, path: str) -> None:
    response = world.browser(READ_TOKEN).get(path)

    assert response.status_code == 403
    assert "readers cannot do this" in response.text


@pytest.mark.parametrize("path", DOES)
def test_a_reader_cannot_act_with_his_own_mark(world: World, path: str) -> None:
    reader = world.browser(READ_TOKEN)
    mark = re.search(r'name="mark" value="([^"]+)"', reader.get("/").text)
    assert mark is not None
    response = reader.post(path, {"mark": mark[1], "do": "drop", "cause": "not_json", "id": "1-1", "text": "{}"})

    assert response.status_code == 403
    assert world.spool.ledger().dead == 3
    assert world.redis.xlen("pw:page:audit") == 0


def test_a_reader_sees_no_button_that_he_cannot_use(world: World) -> None:
    reader = world.browser(READ_TOKEN)

    for path in ("/page/letters", f"/page/letter?id={letter(world, 'invalid_message')}", "/page/quality"):
        assert not [link for link in links_of(reader.get(path).text) if "/edit" in link or "/accept" in link]
        assert "Drop" not in reader.get(path).text


@pytest.mark.parametrize("mark", [None, "", "0" * 32, "of another session"])
def test_a_form_with_a_forged_mark_does_nothing(world: World, mark: str | None) -> None:
    someone, other = world.browser(), world.browser()
    page = someone.get("/page/letters/do?do=drop&cause=not_json")
    action, fields = form_of(page.text)
    if mark == "of another session":
        mark = form_of(other.get("/page/letters/do?do=drop&cause=not_json").text)[1]["mark"][0]
    sent = {**fields, "mark": mark} if mark is not None else {k: v for k, v in fields.items() if k != "mark"}

    assert someone.post(action, sent).status_code == 403
    assert world.spool.ledger().dead == 3


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_that_another_site_sends_does_nothing(world: World, site: str) -> None:
    someone = world.browser()
    action, fields = form_of(someone.get("/page/letters/do?do=drop&cause=not_json").text)

    assert someone.post(action, fields, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert someone.post("/page/login", {"token": TOKEN}, headers={"Sec-Fetch-Site": site}).status_code == 401
    assert world.spool.ledger().dead == 3


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_what_a_foreign_form_can_send_without_asking_is_no_form_of_ours(world: World, kind: str) -> None:
    someone = world.browser()
    response = someone.request("POST", "/page/letters/do", content=b"do=drop", headers={"Content-Type": kind})

    assert response.status_code == 415


def test_a_form_without_end_is_not_read_to_its_end(world: World) -> None:
    form = {"mark": "x", "text": "x" * 3_000_000}

    assert world.browser().post("/page/letter/edit", form).status_code == 413
    fields = urlencode([("id", "1-1")] * 500).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert world.browser().request("POST", "/page/letters/do", content=fields, headers=headers).status_code == 400


def altered(cookie: str) -> list[str]:
    """A session with each part of it changed, and sessions that somebody else has signed."""
    payload, _, signature = cookie.rpartition(".")
    forged = {"role": "operator", "name": "Eve", "at": 0.0, "form": "x"}
    return [
        f"{payload}x.{signature}",
        f"{payload}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BB'}",
        f"{payload}.",
        payload,
        signature,
        "",
        "x" * 5000,
        str(URLSafeSerializer("", salt="session").dumps(forged)),
        str(URLSafeSerializer(TOKEN, salt="session").dumps(forged)),
    ]


def test_a_session_that_was_tampered_with_is_none(world: World) -> None:
    someone = world.browser()
    for cookie in altered(someone.cookies[COOKIE]):
        eve = Browser(world.app)
        eve.cookies = {COOKIE: cookie}
        assert eve.get("/").status_code == 303, cookie


def test_a_session_ends_with_its_time_and_with_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    someone = world.browser()
    changed = World(world.settings.redis.replace("localhost", "localhost"), token="another-token-0123456789")
    again = Browser(changed.app)
    again.cookies = someone.cookies

    assert again.get("/").status_code == 303
    assert someone.get("/").status_code == 200
    monkeypatch.setattr("worker.page.access.clock.now", lambda: 4e9)
    assert someone.get("/").status_code == 303


def test_another_instance_takes_the_same_session(world: World) -> None:
    someone, other = world.browser(), Browser(World(world.settings.redis).app)
    other.cookies = someone.cookies

    assert other.get("/").status_code == 200


def test_the_cookie_is_for_this_site_and_for_no_script(world: World) -> None:
    cookie = world.browser(None).log_in(TOKEN).headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    safe = World(world.settings.redis, https=True).browser(None).log_in(TOKEN).headers["set-cookie"].lower()
    assert "; secure" in safe


def test_after_the_log_out_the_cookie_is_gone(world: World) -> None:
    someone = world.browser()
    mark = form_of(someone.get("/page/letters/do?do=drop&cause=not_json").text)[1]["mark"]
    response = someone.post("/page/logout", {"mark": mark})

    assert response.status_code == 303
    assert "max-age=0" in response.headers["set-cookie"].lower()
    assert someone.post("/page/logout", {"mark": "forged"}).status_code in (401, 403)


@pytest.mark.parametrize(
    "path",
    [
        "/page/static/../application.py",
        "/page/static/..%2fapplication.py",
        "/page/static/%2e%2e/access.py",
        "/page/static/....//access.py",
        "/page/static/page.css%00.html",
        "/page/static//etc/passwd",
        "/page/static/",
        "/page/../../etc/passwd",
        "/page/templates/base.html",
        "/page/live/..%2foverview",
        "/page/nothing",
        "/.env",
    ],
)
def test_there_is_no_way_to_other_files(world: World, path: str) -> None:
    response = world.browser().get(path)

    assert response.status_code in (303, 404), response.text
    assert "import" not in response.text
    assert "root:" not in response.text


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/page//\\evil.example",
        "javascript:alert(1)",
        "/page/letters\r\nSet-Cookie: a=b",
        "/\tevil",
        "/login@evil.example",
    ],
)
def test_a_login_leads_to_no_other_site_and_writes_no_header(world: World, place: str) -> None:
    someone = world.browser(None)
    response = someone.log_in(TOKEN, next=place)
    shown = form_of(someone.get(f"/page/login?next={quote(place, safe='')}").text)[1]["next"]

    assert response.headers["location"] == "/"
    assert shown == ["/"]
    assert "a" not in someone.cookies


def test_a_login_leads_to_the_page_that_was_asked_for(world: World) -> None:
    someone = world.browser(None)
    asked = someone.get("/page/project?id=p-1%0d%0aX-Evil:1")
    login = someone.get(asked.headers["location"])

    assert someone.send(login, token=TOKEN).headers["location"] == "/page/project?id=p-1%0d%0aX-Evil:1"


@pytest.mark.parametrize("text", ["x\r\nX-Evil: 1", "x\nSet-Cookie: a=b", "x\x00y", HOSTILE])
def test_what_is_asked_for_writes_no_header(world: World, text: str) -> None:
    someone = world.browser()
    for path in ("/page/project?id=", "/page/letters?cause=", "/page/letter/original?id=", "/page/live/"):
        response = someone.get(path + quote(text, safe=""))
        assert "x-evil" not in response.headers
        assert "set-cookie" not in response.headers
        assert "<script>alert" not in response.text


@pytest.mark.parametrize("letter_id", ["-", "+", "1", "1-1-1", "0 ) 1", "(1-1", "1-1 COUNT 9", "x" * 3000, "٣-٣"])
def test_what_is_no_id_of_a_letter_never_reaches_redis(world: World, letter_id: str) -> None:
    someone = world.browser()
    for path in ("/page/letter", "/page/letter/original", "/page/letter/edit", "/page/letters/do"):
        response = someone.get(f"{path}?{urlencode({'id': letter_id, 'do': 'drop'})}")
        assert response.status_code == 400, (path, response.text)


def test_names_and_words_with_markup_are_shown_as_they_are(world: World) -> None:
    someone = world.browser()
    refused = letter(world, "refused_by_kili")
    paths = ["/", "/page/projects", f"/page/project?{urlencode({'id': HOSTILE})}", "/page/letters", "/page/quality"]
    paths += ["/page/fleet", f"/page/letter?id={refused}", f"/page/letters?{urlencode({'cause': HOSTILE})}"]
    paths += [f"/page/projects?{urlencode({'search': HOSTILE})}"]
    for path in paths:
        text = someone.get(path).text
        assert "alert(" in text, path
        assert "<script>alert" not in text, path
        assert all("<" not in link and "'" not in link and "javascript:" not in link for link in links_of(text)), path


def test_the_name_of_an_operator_and_an_edit_are_shown_as_they_are(world: World) -> None:
    someone = world.browser(None)
    someone.log_in(TOKEN, name=HOSTILE)
    someone.send(someone.get("/page/letters/do?do=drop&cause=not_json"))
    page = someone.get(f"/page/letter/edit?id={letter(world, 'invalid_message')}")
    edited = someone.send(page, text=f"</textarea>{HOSTILE}")

    assert edited.status_code == 422
    for text in (someone.get("/page/audit").text, edited.text):
        assert "alert(" in text
        assert "<script>alert" not in text
        assert "</textarea>&lt;" not in text


EXPECTED: dict[str, Any] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.mark.parametrize("path", ["/", "/page/letters", "/page/login", "/page/nothing", "/page/letter?id=9-9"])
def test_every_answer_keeps_other_sites_and_scripts_of_others_out(world: World, path: str) -> None:
    response = world.browser().get(path)
    policy = response.headers["content-security-policy"]

    assert {name: response.headers[name] for name in EXPECTED} == EXPECTED
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|<style", response.text)


def test_an_original_is_saved_and_never_shown_as_a_page(world: World) -> None:
    response = world.browser().get(f"/page/letter/original?id={letter(world, 'not_json')}")

    assert response.content == b"\xff\x00"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment;")
