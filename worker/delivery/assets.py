"""Find out which assets Kili has, and create the missing ones, each exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter

from worker.delivery.bisect import DeliveryClients, Fits, Send, Sent, send_each
from worker.delivery.content import Imports, missing_asset
from worker.delivery.failures import ASSET_MISSING, ASSET_NOT_SHOWN, Action, Failure, FailureDecision, Stage, Trouble
from worker.delivery.in_flight import grouped
from worker.delivery.item import KEPT_SECONDS, Item, Properties, WrittenLately
from worker.environment import clock
from worker.kili import FoundAsset, KiliClient, KiliError, NewAsset, RefusedItems, UnknownOutcome
from worker.spool.dead_letters import Cause


@dataclass(slots=True)
class Located:
    """Items by what is to be done next.

    Those that are looked at again later come with the decision on them; Kili may be importing them.
    """

    ready: list[Item] = field(default_factory=list)
    missing: list[tuple[Item, Cause]] = field(default_factory=list)
    later: list[tuple[Item, FailureDecision]] = field(default_factory=list)
    refused: list[tuple[Item, Exception]] = field(default_factory=list)


class AssetKeeper:
    """Looks assets up and creates them.

    Args:
        clients: look up and create.
        lately: what anyone in the fleet has written lately.
        imports: assets that Kili is importing.
    """

    def __init__(self, clients: DeliveryClients, lately: WrittenLately, imports: Imports) -> None:
        self._clients = clients
        self._lately = lately
        self._imports = imports

    def locate(self, project: str, items: Sequence[Item]) -> Located:
        """Decide for each item whether its asset exists, is to be created, or is not there."""
        begun = clock.monotonic()
        existing, refused = self._existing(project, list(dict.fromkeys(item.external_id for item in items)))
        found, unread = self._found(project, sorted(existing))
        refused |= unread
        shown = [asset.id for candidates in found.values() for asset in candidates]
        made = self._lately.made([item.entry.asset_id for item in items if not found.get(item.external_id)])
        written = self._lately.properties([*shown, *made])
        _distrust(items, begun)
        _lend_content(items)
        located = Located()
        for item in items:
            name, asset_id = item.prediction.external_id, item.entry.asset_id
            candidates = found.get(name, ())
            if name in refused:
                located.refused.append((item, refused[name]))
            elif len(candidates) > 1:
                self._judge(item, Trouble.AMBIGUOUS, located, candidates)
            elif candidates:
                _use(item, candidates[0], written)
                located.ready.append(item)
            elif asset_id in made and asset_id in written:
                item.is_known_to_hold(written[asset_id])
                located.ready.append(item)
            elif name in existing or asset_id in made:
                self._judge(item, Trouble.NOT_SHOWN, located)
            elif item.content is not None:
                located.ready.append(item)
            else:
                self._judge(item, Trouble.MISSING, located)
        self._imports.forget({item.entry.asset_id for item in items if item.external_id in found})
        self._set_importing_apart(project, located)
        return located

    def create(
        self,
        project: str,
        pairs: Sequence[tuple[Item, NewAsset]],
        append: Send[tuple[Item, NewAsset]],
        fits: Fits[tuple[Item, NewAsset]],
    ) -> Sent[tuple[Item, NewAsset]]:
        """Create assets by ``append``, in parts that fit; one that turns out to be there counts as created."""
        begun = clock.monotonic()
        sent, found = self.send(project, pairs, append, fits)
        self.created([item for item, asset in sent.accepted if asset.id not in found])
        turned_up = [pair for pair in sent.accepted if pair[1].id in found]
        self._turned_up(turned_up, found)
        _distrust([item for item, _ in turned_up], begun)
        return sent

    def send(
        self,
        project: str,
        pairs: Sequence[tuple[Item, NewAsset]],
        append: Send[tuple[Item, NewAsset]],
        fits: Fits[tuple[Item, NewAsset]],
    ) -> tuple[Sent[tuple[Item, NewAsset]], dict[str, FoundAsset]]:
        """Send assets by ``append``, in parts that fit; the accepted ones that turned out to be there are told too."""
        recheck = _Recheck(self._there, project)
        sent = send_each(pairs, append, self._clients, sift=recheck, fits=fits)
        known = [pair for pair, rejection in sent.refused if _already_exists(rejection)]
        sent.refused = [(pair, rejection) for pair, rejection in sent.refused if not _already_exists(rejection)]
        for item, asset in known:  # reads do not show it yet, so it is as good as new: its properties are set anew
            recheck.found[asset.id] = FoundAsset(asset.id, item.external_id, {}, 0)
        sent.accepted += known
        return sent, recheck.found

    def created(self, items: Sequence[Item]) -> None:
        """These assets were created, with the metadata of the items."""
        for item in items:
            item.is_known_to_hold(item.properties(item.given_priority))
        self._lately.note(_properties_of(items), made=[item.asset_id for item in items])

    def updated(self, items: Sequence[Item]) -> None:
        """These assets' properties were set as the items want them."""
        for item in items:
            item.is_known_to_hold(item.properties(item.decision.priority))
            item.is_again = False
        self._lately.note(_properties_of(items))

    def _turned_up(self, pairs: Sequence[tuple[Item, NewAsset]], found: Mapping[str, FoundAsset]) -> None:
        written = self._lately.properties([asset.id for _, asset in pairs])
        for item, asset in pairs:
            _use(item, found[asset.id], written)
        self._lately.note({}, made=[asset.id for _, asset in pairs])

    def _existing(self, project: str, names: Sequence[str]) -> tuple[set[str], dict[str, Exception]]:
        existing: set[str] = set()

        def look_up(part: Sequence[str], kili: KiliClient) -> None:
            existing.update(kili.existing_external_ids(project, part))

        sent = send_each(names, look_up, self._clients)
        sent.check()
        return existing, dict(sent.refused)

    def _found(self, project: str, names: Sequence[str]) -> tuple[dict[str, list[FoundAsset]], dict[str, Exception]]:
        found: dict[str, list[FoundAsset]] = {}

        def look_up(part: Sequence[str], kili: KiliClient) -> None:
            found.update(kili.find_assets(project, part))

        if not names:
            return {}, {}
        sent = send_each(names, look_up, self._clients)
        sent.check()
        return found, dict(sent.refused)

    def _there(self, project: str, asset_ids: Sequence[str], error: KiliError, *, wait: bool) -> dict[str, FoundAsset]:
        if wait:
            clock.wait(self._clients.stop, self._clients.failures.graces.read_lag)
        kili = self._clients.single_attempt if isinstance(error, UnknownOutcome) else self._clients.first
        return kili.assets_by_id(project, asset_ids)

    def _set_importing_apart(self, project: str, located: Located) -> None:
        absent = [item for item in located.ready if not item.exists]

        @cache
        def by_asset() -> dict[str, list[Item]]:
            return {group[0].asset_id: group for group in grouped(absent, key=attrgetter("asset_id"))}

        def tried_for(asset_id: str, cause: str) -> float:
            return max(item.entry.tried_for_ms(cause) for item in by_asset()[asset_id]) / 1000

        steps = self._imports.look(project, list({item.asset_id: None for item in absent}), tried_for)
        if not steps:
            return
        ready, located.ready = located.ready, []
        for item in ready:
            step = None if item.exists else steps.get(item.asset_id)
            if step is None:
                located.ready.append(item)
            elif isinstance(step, Cause):
                located.missing.append((item, step))
            else:
                located.later.append((item, step))

    def _judge(self, item: Item, why: Trouble, located: Located, candidates: Sequence[FoundAsset] = ()) -> None:
        cause = ASSET_MISSING if why is Trouble.MISSING else ASSET_NOT_SHOWN
        waited = item.entry.tried_for_ms(cause) / 1000
        decision = self._clients.failures.decide(Failure(Stage.ASSET, why, tried_for=waited))
        if decision.action is Action.RETRY:
            located.later.append((item, decision))
        else:
            located.missing.append((item, _cause(why, item, waited, candidates)))


class _Recheck:
    """Before a refused part is split: which of its assets are there, by an earlier or a half-applied call?

    Asked once for a batch, and again where the server says so of an asset or an item is about to be condemned.
    """

    def __init__(self, there: Callable[..., dict[str, FoundAsset]], project: str) -> None:
        self._there = there
        self._project = project
        self._asked = False
        self.found: dict[str, FoundAsset] = {}

    def __call__(self, part: Sequence[tuple[Item, NewAsset]], error: KiliError) -> Mapping[int, None] | None:
        exists = _already_exists(error)
        if self._asked and not exists and len(part) > 1:
            return None
        self._asked = True
        wait = exists or error.maybe_applied or any(item.entry.deliveries > 1 for item, _ in part)
        there = self._there(self._project, [asset.id for _, asset in part], error, wait=wait)
        self.found |= there
        return {place: None for place, (_, asset) in enumerate(part) if asset.id in there} or None


def _distrust(items: Iterable[Item], begun: float) -> None:
    """What was looked up too long ago is not completed by what was written lately: the properties are set anew."""
    if clock.monotonic() - begun > KEPT_SECONDS / 2:
        for item in items:
            item.is_again = True


def _already_exists(rejection: Exception) -> bool:
    return isinstance(rejection, RefusedItems) and rejection.already_exists


def _lend_content(items: Sequence[Item]) -> None:
    """An item without content is created with that of another prediction of its asset, which is sent with it."""
    if all(item.content is not None for item in items):
        return
    newest = {
        item.entry.asset_id: item.content for item in sorted(items, key=lambda one: one.entry.rank) if item.content
    }
    for item in items:
        item.content = item.content or newest.get(item.entry.asset_id)


def _use(item: Item, asset: FoundAsset, written: Mapping[str, Properties]) -> None:
    item.asset_id = asset.id
    found = Properties(asset.metadata, asset.priority)
    item.is_known_to_hold(written[asset.id].over(asset) if asset.id in written else found)


def _cause(why: Trouble, item: Item, waited: float, candidates: Sequence[FoundAsset]) -> Cause:
    """Why the prediction dies."""
    if why is Trouble.AMBIGUOUS:
        return _ambiguous(item, candidates)
    return missing_asset() if why is Trouble.MISSING else _not_shown(waited)


def _ambiguous(item: Item, candidates: Sequence[FoundAsset]) -> Cause:
    """Which of them the humans look at, nobody here knows."""
    ids = ", ".join(asset.id for asset in candidates[:5])
    problem = f"{item.external_id!r} is the name of {len(candidates)} assets in the project: {ids}"
    fix = "delete or rename all but one of them in Kili, and replay"
    return Cause("asset_ambiguous", "asset", "external_id", problem, fix)


def _properties_of(items: Sequence[Item]) -> dict[str, Properties | None]:
    return {item.asset_id: item.found for item in items}


def _not_shown(waited: float) -> Cause:
    problem = f"exists, as Kili says, which has not shown it for {waited:.0f} s"
    return Cause(ASSET_NOT_SHOWN, "asset", "external_id", problem, "look whether the key may see the asset, and replay")
