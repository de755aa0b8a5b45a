"""Assets: found, created once, recognised where an earlier call had created them after all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from delivery_doubles import INTERFACE, PROJECT, BucketKili, MemoryKili, clients, leased

from worker.delivery.assets import AssetKeeper, Located
from worker.delivery.bisect import Sent
from worker.delivery.content import Contents, ContentSource, Imports
from worker.delivery.failure_policy import FailurePolicy
from worker.delivery.failures import ASSET_MISSING, ASSET_NOT_SHOWN, Graces
from worker.delivery.item import Item, WrittenLately
from worker.delivery.prepare import prepare
from worker.delivery.uploads import Bucket, Uploader
from worker.kili import KiliError, NewAsset, RefusedItems, ServerFault, UnknownOutcome, derived_asset_id
from worker.ontology import Interface
from worker.spool.entries import tried_again


def items_of(*names: str, **changes: Any) -> list[Item]:
    return prepare(PROJECT, [leased(name, **changes) for name in names], Interface.parse(INTERFACE, "IMAGE")).items


def keeper(kili: MemoryKili, client: redis.Redis, *, missing_asset: float = 10.0) -> AssetKeeper:
    given = clients(kili, imports=60.0, missing_asset=missing_asset)
    return AssetKeeper(given, WrittenLately(client, "t:"), Imports(client, "t:", given))


def contents_of(kili: Any, items: Sequence[Item], *, roots: Sequence[Path] = (), input_type: str = "IMAGE") -> Contents:
    source = ContentSource(Uploader(clients(kili), Bucket(FailurePolicy(Graces(upload=60.0)))), roots)
    return source.contents_of(PROJECT, items, input_type)


def create(kili: MemoryKili, client: redis.Redis, *names: str, **changes: Any) -> Sent[tuple[Item, NewAsset]]:
    pairs = contents_of(kili, items_of(*names, **changes)).ready

    def append(part: Sequence[tuple[Item, NewAsset]], client: Any) -> None:
        client.append_assets(PROJECT, [asset for _, asset in part])

    return keeper(kili, client).create(PROJECT, pairs, append, lambda part: True)


def names_of(sent: Sent[tuple[Item, NewAsset]]) -> list[str]:
    return sorted(item.external_id for item, _ in sent.accepted)


def test_an_asset_that_nobody_has_is_to_be_created(client: redis.Redis) -> None:
    located = keeper(MemoryKili(), client).locate(PROJECT, items_of("a"))
    assert [(item.external_id, item.exists) for item in located.ready] == [("a", False)]


def test_an_asset_of_somebody_else_is_used_under_its_own_id(client: redis.Redis) -> None:
    kili = MemoryKili()
    kili.append_assets(PROJECT, [NewAsset("foreign", "a", "https://x/a", "", '{"theirs": 1}')])
    [item] = keeper(kili, client).locate(PROJECT, items_of("a")).ready
    assert (item.asset_id, item.exists, item.found and item.found.metadata) == ("foreign", True, {"theirs": 1})


@pytest.mark.parametrize("twins", [("foreign", "other"), ("foreign", derived_asset_id(PROJECT, "a"))])
def test_two_assets_under_one_name_are_told_and_neither_is_labelled(
    client: redis.Redis, twins: tuple[str, str]
) -> None:
    kili = MemoryKili()
    for asset_id, name in [(twins[0], "a"), (twins[1], "a"), ("single", "b")]:
        kili.append_assets(PROJECT, [NewAsset(asset_id, name, "https://x/a", "", "{}")])
    located = keeper(kili, client).locate(PROJECT, items_of("a", "b"))
    assert [item.asset_id for item in located.ready] == ["single"]
    [(item, cause)] = located.missing
    assert (item.external_id, cause.slug, cause.field) == ("a", "asset_ambiguous", "external_id")
    assert all(asset_id in cause.problem for asset_id in twins)


def test_an_asset_made_lately_exists_although_reads_do_not_show_it(client: redis.Redis) -> None:
    kili = MemoryKili()
    create(kili, client, "a")
    kili.lag = set(kili.assets)
    [item] = keeper(kili, client).locate(PROJECT, items_of("a")).ready
    assert item.exists


def tried(cause: str, *delays_ms: int) -> dict[str, Any]:
    """What an entry knows that was put off so often, always taken up in time."""
    known, now = b"", 1_000_000
    for delay_ms in delays_ms:
        known = tried_again(known, cause, now, delay_ms)
        now += delay_ms
    return {"tries": known, "leased_ms": now}


def later(found: Located) -> list[tuple[str, str]]:
    return [(item.external_id, decision.cause) for item, decision in found.later]


def test_an_item_without_content_waits_for_its_asset_and_then_dies(client: redis.Redis) -> None:
    assert later(keeper(MemoryKili(), client).locate(PROJECT, items_of("a", asset=None))) == [("a", ASSET_MISSING)]
    retrying = items_of("a", asset=None, **tried(ASSET_MISSING, 2000, 2000))
    assert later(keeper(MemoryKili(), client).locate(PROJECT, retrying)) == [("a", ASSET_MISSING)]
    old = items_of("a", asset=None, **tried(ASSET_MISSING, *[2000] * 5))
    [(item, cause)] = keeper(MemoryKili(), client).locate(PROJECT, old).missing
    assert (item, cause.slug) == (old[0], "asset_missing")


def test_what_it_waited_for_something_else_is_not_held_against_it(client: redis.Redis) -> None:
    items = items_of("a", asset=None, **tried("result_unavailable", *[60_000] * 20))
    assert later(keeper(MemoryKili(), client).locate(PROJECT, items)) == [("a", ASSET_MISSING)]


def test_an_item_without_content_uses_that_of_another_model_in_its_wave(client: redis.Redis) -> None:
    [bare, whole] = [*items_of("a", asset=None, stamp=2), *items_of("a", model={"name": "n", "version": "1"})]
    located = keeper(MemoryKili(), client).locate(PROJECT, [bare, whole])
    assert located.ready == [bare, whole]
    assert bare.content == whole.content


def test_an_asset_that_is_said_to_exist_and_never_shown_ends_as_a_dead_letter(client: redis.Redis) -> None:
    class Hiding(MemoryKili):
        def find_assets(self, project: str, names: Sequence[str]) -> dict[str, Any]:
            return {}

    kili = Hiding()
    kili.append_assets(PROJECT, [NewAsset("foreign", "a", "https://x/a", "", "{}")])
    assert later(keeper(kili, client).locate(PROJECT, items_of("a"))) == [("a", ASSET_NOT_SHOWN)]
    old = items_of("a", **tried(ASSET_NOT_SHOWN, *[2000] * 31))
    [(_, cause)] = keeper(kili, client).locate(PROJECT, old).missing
    assert (cause.slug, cause.field) == ("asset_not_shown", "external_id")
    assert "for 62 s" in cause.problem


def test_a_name_that_the_check_refuses_does_not_keep_the_others(client: redis.Redis) -> None:
    poison = derived_asset_id(PROJECT, "poison")
    kili = MemoryKili(rule=lambda step, ids: RefusedItems("bad name") if poison in ids else None)
    located = keeper(kili, client).locate(PROJECT, items_of("a", "poison", "b"))
    assert [item.external_id for item in located.ready] == ["a", "b"]
    assert [item.external_id for item, _ in located.refused] == ["poison"]


def test_a_check_that_nobody_answers_fails_as_a_whole(client: redis.Redis) -> None:
    kili = MemoryKili(rule=lambda step, ids: UnknownOutcome("503"))
    with pytest.raises(UnknownOutcome):
        keeper(kili, client).locate(PROJECT, items_of("a", "b"))


def test_assets_are_created_in_one_call_with_what_the_message_says(client: redis.Redis) -> None:
    kili = MemoryKili()
    assert names_of(create(kili, client, "a", "b")) == ["a", "b"]
    assert kili.counts == {"append_assets": 1}
    assert {asset.content for asset in kili.assets.values()} == {"https://example.com/a", "https://example.com/b"}


def refused_if_there(kili: MemoryKili, *, words: KiliError) -> None:
    """Let Kili refuse ids that it has."""
    kili.rule = lambda step, ids: words if step == "append_assets" and set(ids) & set(kili.assets) else None


@pytest.mark.parametrize("deliveries", [1, 2])
def test_assets_of_a_half_applied_call_are_recognised_and_the_rest_is_created(
    client: redis.Redis, deliveries: int
) -> None:
    kili = MemoryKili()
    create(kili, client, "a", "b")
    refused_if_there(kili, words=RefusedItems("Unique constraint failed", already_exists=True))
    assert names_of(create(kili, client, "a", "b", "c", deliveries=deliveries)) == ["a", "b", "c"]
    assert kili.counts["assets_by_id"] == 1


def test_what_is_said_to_exist_counts_as_created_although_reads_do_not_show_it(client: redis.Redis) -> None:
    kili = MemoryKili()
    create(kili, client, "a")
    kili.lag = set(kili.assets)
    refused_if_there(kili, words=RefusedItems("Unique constraint failed", already_exists=True))
    assert names_of(create(kili, client, "a", "b")) == ["a", "b"]


def test_ids_refused_in_words_that_say_nothing_are_recognised_too(client: redis.Redis) -> None:
    kili, murky = MemoryKili(), ServerFault("unexpected")
    murky.may_be_items = True
    create(kili, client, "a", "b")
    refused_if_there(kili, words=murky)
    assert names_of(create(kili, client, "a", "b", "c")) == ["a", "b", "c"]


def test_only_what_was_created_is_remembered_as_made(client: redis.Redis) -> None:
    poison = derived_asset_id(PROJECT, "poison")
    kili = MemoryKili(rule=lambda step, ids: RefusedItems("no") if step == "append_assets" and poison in ids else None)
    sent = create(kili, client, "a", "poison")
    assert [item.external_id for (item, _), _ in sent.refused] == ["poison"]
    made = WrittenLately(client, "t:").made([poison, derived_asset_id(PROJECT, "a")])
    assert made == {derived_asset_id(PROJECT, "a")}


def test_a_file_is_read_below_the_allowed_folders_only(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for place in ("in/a.txt", "out.txt"):
        (tmp_path / place).write_text("text")
    items = [
        *items_of("a", asset={"path": str(tmp_path / "in/a.txt")}),
        *items_of("b", asset={"path": str(tmp_path / "out.txt")}),
        *items_of("c", asset={"path": str(tmp_path / "in/gone.txt")}),
    ]
    found = contents_of(BucketKili(), items, roots=[tmp_path / "in"])
    assert [item.external_id for item, _ in found.ready] == ["a"]
    assert {item.external_id: cause.slug for item, cause in found.dead} == {
        "b": "asset_unreadable",
        "c": "asset_unreadable",
    }


def test_two_items_with_one_entry_id_in_two_lanes_keep_their_own_contents() -> None:
    items = [*items_of("a", lane=0, entry_id="5-0"), *items_of("b", lane=9, entry_id="5-0")]
    assert {item.external_id: asset.content for item, asset in contents_of(MemoryKili(), items).ready} == {
        "a": "https://example.com/a",
        "b": "https://example.com/b",
    }


@pytest.mark.parametrize("error", [RefusedItems("bad name"), UnknownOutcome("500")])
def test_one_that_cannot_be_looked_up_is_refused_and_its_neighbours_are_found(
    client: redis.Redis, error: KiliError
) -> None:
    bad = derived_asset_id(PROJECT, "bad")
    kili = MemoryKili(rule=lambda step, ids: error if step == "find_assets" and bad in ids else None)
    for name in ("a", "b", "bad"):
        asset_id = derived_asset_id(PROJECT, name)
        kili.assets[asset_id] = NewAsset(asset_id, name, f"https://example.com/{name}", "", "{}")
    found = keeper(kili, client).locate(PROJECT, items_of("a", "b", "bad"))
    assert [(item.external_id, problem) for item, problem in found.refused] == [("bad", error)]
    assert sorted(item.external_id for item in found.ready if item.exists) == ["a", "b"]
