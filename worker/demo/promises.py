"""Promises about delivery, held against what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from worker.demo.counted import Evidence, InKili, Published, reviewed_in
from worker.demo.traffic import Traffic


def broken_promises(traffic: Traffic, evidence: Evidence, published: Published, in_kili: InKili) -> list[str]:
    """What does not hold, in words; nothing when everything does."""
    return [
        *_broken_in_kili(traffic, in_kili),
        *_broken_in_dead_letters(traffic, evidence),
        *_broken_in_ledger(published, evidence),
        *_broken_in_review(evidence),
    ]


def _broken_in_kili(traffic: Traffic, found: InKili) -> Iterator[str]:
    if found.duplicate_assets or found.duplicate_labels:
        yield f"{found.duplicate_assets} assets and {found.duplicate_labels} INFERENCE labels are there twice"
    if found.missing:
        yield f"{found.missing} of {len(traffic.answers)} predictions have no INFERENCE label"
    if found.wrong_labels:
        yield f"{found.wrong_labels} INFERENCE labels do not say what the newest prediction said"
    if found.unexpected_assets:
        yield f"{found.unexpected_assets} assets are there that no prediction asked for"


def _broken_in_dead_letters(traffic: Traffic, evidence: Evidence) -> Iterator[str]:
    causes = Counter(letter["cause"] for letter in evidence.letters)
    if causes != traffic.causes:
        yield f"the dead letters are {_listed(causes)}; they should be {_listed(traffic.causes)}"
    nameless = sum(not letter["field"] for letter in evidence.letters)
    if nameless:
        yield f"{nameless} dead letters name no field"


def _broken_in_ledger(published: Published, evidence: Evidence) -> Iterator[str]:
    ledger = evidence.ledger
    if ledger["balance"]:
        yield f"the conservation sum is off by {ledger['balance']}"
    if ledger["received"] != published.messages:
        yield f"{published.messages} messages were published, {ledger['received']} received"
    if ledger["dead"] != published.bad:
        yield f"{published.bad} bad messages were published, {ledger['dead']} are dead letters"
    good = published.messages - published.bad
    if ledger["delivered"] + ledger["superseded"] != good:
        yield f"of {good} good messages {ledger['delivered']} were delivered and {ledger['superseded']} superseded"


def _broken_in_review(evidence: Evidence) -> Iterator[str]:
    labeled = {name for part in evidence.labeled for name in part}
    reviewed = reviewed_in(evidence.assets)
    if reviewed != labeled:
        yield f"the labelers labeled {len(labeled)} assets, Kili shows {len(reviewed)}"
    if evidence.unheard:
        yield f"{evidence.unheard} of {len(labeled)} human labels were not read by the worker"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "nothing"
