"""The operator's page in a real browser: every page, every action, every empty state, for all eyes and hands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.awaiting import awaited
from tests.browser.chromium import find
from tests.browser.operators import DESK, PHONE, Person, Served, started
from tests.unit.page.world import HOSTILE, READ_TOKEN, World, drifted, message
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.messages import Links

pytestmark = pytest.mark.skipif(find() is None, reason="no Chromium: apt-get install chromium, or name one in CHROMIUM")

EYES = [(scheme, width) for scheme in ("light", "dark") for width in (DESK, PHONE)]
PAGES = ["/", "/page/projects", "/page/letters", "/page/quality", "/page/fleet", "/page/audit"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def empty() -> Iterator[Served]:
    """A fleet in which nothing has happened."""
    with EmbeddedRedis() as server, Served(World(server.url)) as served:
        yield served


@pytest.fixture(scope="module")
def full() -> Iterator[Served]:
    """A fleet with everything, that is only looked at."""
    with EmbeddedRedis() as server, Served(filled(server)) as served:
        yield served


@pytest.fixture
def served() -> Iterator[Served]:
    """A fleet with everything, that may be changed."""
    with EmbeddedRedis() as server, Served(filled(server)) as found:
        yield found


def filled(server: EmbeddedRedis) -> World:
    world = World(server.url)
    world.fill()
    links = Links.of("https://kili.example/api/label/v2/graphql", "p-1")
    world.page._reports._make = lambda _project: (drifted(), links)  # type: ignore[method-assign]
    return world


def letter(served: Served, cause: str) -> str:
    (letter_id,) = served.world.redis.zrange(f"pw:dead:of:{cause}", 0, -1)  # type: ignore[misc]
    return str(letter_id.decode())


def pages_of(served: Served) -> list[str]:
    """Every page that there is, with the questions before actions and what is not there."""
    wrong, refused = letter(served, "invalid_message"), letter(served, "refused_by_kili")
    (alarm,) = [name.decode() for name in served.world.redis.hkeys("pw:feedback:p-1:alarms")][:1]  # type: ignore[union-attr]
    return [
        *PAGES,
        f"/page/projects?{urlencode({'search': 'nothing'})}",
        "/page/project?id=p-1",
        f"/page/project?{urlencode({'id': HOSTILE})}",
        "/page/letters?cause=not_json",
        "/page/letters?cause=nothing",
        f"/page/letter?id={wrong}",
        f"/page/letter?id={refused}",
        f"/page/letter?id={letter(served, 'not_json')}",
        f"/page/letter/edit?id={wrong}",
        f"/page/letters/do?do=replay&id={wrong}",
        "/page/letters/do?do=drop&cause=not_json",
        f"/page/quality/accept?{urlencode({'project': 'p-1', 'alarm': alarm})}",
        "/page/report?project=p-1",
        "/page/report?project=p-1&model=m%3A1",
        "/page/letter?id=1-1",
        "/page/audit?before=1-1",
    ]


def name_of(path: str) -> str:
    return path.strip("/").replace("page/", "").partition("?")[0].replace("/", "-") or "overview"


@pytest.mark.parametrize(("scheme", "width"), EYES)
def test_everybody_can_use_every_page(browser: Browser, full: Served, scheme: str, width: int) -> None:
    person = Person(browser, full, scheme=scheme, width=width).log_in()
    for number, path in enumerate(pages_of(full)):
        person.page.goto(path)
        person.shot(f"{number:02}-{name_of(path)}-{scheme}-{width}")
        assert person.faults() == [], path
        assert not person.sticks_out(), path
    assert [words for words in person.errors if "404" not in words and "page/live" not in words] == []
    person.close()


@pytest.mark.parametrize(("scheme", "width"), EYES)
def test_everybody_can_use_a_page_with_nothing_on_it(browser: Browser, empty: Served, scheme: str, width: int) -> None:
    person = Person(browser, empty, scheme=scheme, width=width)
    person.page.goto("/page/login")
    assert person.faults() == []
    person.log_in()
    for path in PAGES:
        person.page.goto(path)
        person.shot(f"empty-{name_of(path)}-{scheme}-{width}")
        assert person.page.locator(".empty").count() >= 1, path
        assert person.faults() == [], path
        assert not person.sticks_out(), path
    person.close()


def test_by_night_the_page_is_dark(browser: Browser, full: Served) -> None:
    def ground(scheme: str) -> int:
        person = Person(browser, full, scheme=scheme).log_in()
        colour = person.page.evaluate("getComputedStyle(document.body).backgroundColor")
        person.close()
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    assert ground("light") > 3 * 200
    assert ground("dark") < 3 * 40


def test_wide_tables_scroll_by_themselves_and_stay_where_they_are_when_figures_renew(
    browser: Browser, served: Served
) -> None:
    person = Person(browser, served, width=PHONE).log_in()
    region = person.page.get_by_role("region", name="Backlog by project")
    region.focus()
    person.page.keyboard.press("ArrowRight")
    awaited(lambda: region.evaluate("one => one.scrollLeft") > 0, "the table scrolls")
    served.world.wait_for(["p-1"], 40)
    expect(person.page.locator("dd", has_text="43").first).to_be_visible(timeout=15_000)

    assert region.evaluate("one => one.scrollLeft") > 0
    assert region.evaluate("one => document.activeElement === one")
    person.close()


def test_the_first_key_leads_past_the_menu(browser: Browser, full: Served) -> None:
    person = Person(browser, full).log_in()
    person.page.keyboard.press("Tab")
    expect(person.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    person.page.keyboard.press("Enter")
    assert person.page.evaluate("document.activeElement.id") == "content"
    person.close()


def test_a_wrong_token_is_told(browser: Browser, full: Served) -> None:
    person = Person(browser, full)
    person.page.goto("/page/letters")
    person.page.get_by_label("Token").fill("wrong")
    person.page.get_by_role("button", name="Log in").click()
    expect(person.page.get_by_role("alert")).to_have_text("This token is not valid.")
    assert person.faults() == []
    person.close()


def test_an_alarm_on_the_way_to_the_page_is_not_run(browser: Browser, full: Served) -> None:
    person = Person(browser, full).log_in()
    dialogs: list[str] = []
    person.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in pages_of(full):
        person.page.goto(path)
    assert dialogs == []
    assert person.page.evaluate("eval ? 'there' : ''") == "there"
    person.close()


def test_figures_renew_by_themselves_and_the_focus_stays(browser: Browser, served: Served) -> None:
    person = Person(browser, served).log_in()
    waiting = person.page.locator(".figures div", has_text="Waiting").locator("dd")
    expect(waiting).to_have_text("6")
    person.page.locator("#project-1").focus()
    served.world.wait_for(["p-1"], 40)

    expect(waiting).to_have_text("43", timeout=15_000)
    assert person.page.evaluate("document.activeElement.id") == "project-1"
    person.page.get_by_role("link", name="Stop renewing").click()
    expect(person.page.get_by_role("link", name="Renew by itself")).to_be_visible()
    assert person.page.locator("[sse-connect]").count() == 0
    person.close()


def test_chosen_letters_are_dropped_by_keyboard(browser: Browser, served: Served) -> None:
    person = Person(browser, served).log_in()
    person.page.goto("/page/letters")
    for cause in ("not_json", "refused_by_kili"):
        person.page.get_by_label(f"Choose letter {letter(served, cause)}").focus()
        person.page.keyboard.press("Space")
    person.page.get_by_role("button", name="Drop chosen…").focus()
    person.page.keyboard.press("Enter")
    expect(person.page.get_by_role("heading", name="Drop 2 dead letters?")).to_be_visible()
    assert served.world.spool.ledger().dead == 3
    person.page.get_by_role("button", name="Drop for good").focus()
    person.page.keyboard.press("Enter")

    expect(person.page.get_by_role("status")).to_have_text("2 dropped")
    assert served.world.spool.ledger().dead == 1
    assert person.faults() == []
    person.page.get_by_role("link", name="Audit log").first.click()
    expect(person.page.get_by_role("row").nth(1)).to_contain_text("Ada (operator)")
    assert person.faults() == []
    person.close()


def test_all_letters_of_a_cause_are_replayed_and_the_page_shows_it(browser: Browser, served: Served) -> None:
    person = Person(browser, served).log_in()
    person.page.goto("/page/letters")
    person.page.get_by_label("Replay all of invalid_message").click()
    person.page.get_by_role("link", name="Cancel").click()
    person.page.get_by_label("Drop all of invalid_message").click()
    person.page.get_by_role("button", name="Drop for good").click()
    person.page.wait_for_url("**/page/letters")

    awaited(lambda: served.world.spool.ledger().dead == 2, "the letter is dropped")
    expect(person.page.get_by_label("Drop all of invalid_message")).to_have_count(0, timeout=15_000)
    person.close()


@pytest.mark.parametrize("script", [True, False])
def test_a_letter_is_edited_and_replayed(browser: Browser, served: Served, script: bool) -> None:
    person = Person(browser, served, java_script_enabled=script)
    if script:
        person.log_in()
    else:
        person.page.goto("/")
        person.page.get_by_label("Token").fill("operator-token-0123456789")
        person.page.get_by_role("button", name="Log in").click()
    person.page.goto(f"/page/letter?id={letter(served, 'invalid_message')}")
    person.page.get_by_role("link", name="Edit and replay…").click()
    person.page.get_by_role("button", name="Check").click()
    expect(person.page.get_by_text("Nothing was changed.")).to_be_visible()
    assert not script or person.faults() == []
    person.page.get_by_label("The message").fill(json.dumps(message(), indent=2))
    person.page.get_by_role("button", name="Check").click()
    expect(person.page.locator("ins").first).to_be_visible()
    assert not script or person.faults() == []
    person.page.get_by_role("button", name="Replay as edited").click()

    expect(person.page.get_by_role("status")).to_have_text("1 admitted, 0 superseded, 0 dead, 0 gone")
    assert served.world.spool.ledger().dead == 2
    person.close()


def test_without_a_script_everything_can_be_read(browser: Browser, full: Served) -> None:
    person = Person(browser, full, java_script_enabled=False)
    person.page.goto("/")
    person.page.get_by_label("Token").fill(READ_TOKEN)
    person.page.get_by_role("button", name="Log in").click()
    for path in PAGES:
        person.page.goto(path)
        expect(person.page.locator("h1")).to_be_visible()
    person.page.goto("/")
    expect(person.page.locator(".figures div", has_text="Waiting").locator("dd")).to_have_text("6")
    person.close()


def test_an_alarm_is_acknowledged(browser: Browser, served: Served) -> None:
    person = Person(browser, served).log_in()
    person.page.goto("/page/quality")
    buttons = person.page.get_by_role("link", name="Acknowledge")
    before = buttons.count()
    buttons.first.click()
    person.page.get_by_role("button", name="Acknowledge").click()
    person.page.wait_for_url("**/page/quality")

    assert buttons.count() == before - 1
    person.close()


def test_readers_see_everything_and_have_nothing_to_press(browser: Browser, full: Served) -> None:
    person = Person(browser, full).log_in(READ_TOKEN)
    for path in ["/page/letters", f"/page/letter?id={letter(full, 'invalid_message')}", "/page/quality"]:
        person.page.goto(path)
        assert person.faults() == []
        assert person.page.locator("main").get_by_role("button").count() == 0
        assert person.page.get_by_role("link", name="Acknowledge").count() == 0
    person.page.get_by_role("button", name="Log out").click()
    person.page.wait_for_url("**/page/login")
    person.page.goto("/")
    assert "/page/login" in person.page.url
    person.close()
