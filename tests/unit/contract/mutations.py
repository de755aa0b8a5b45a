"""Messages with a few things changed at random, most of which nobody should accept."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.unit.contract.refusals import MESSAGES

TEXTS = (
    *(
        '""',
        '" a"',
        '"a "',
        '"a\\u00a0"',
        '"\\u2003"',
        '"a\\nb"',
        '"a\\n"',
        '"a\\u0000"',
        '"a\\u007f"',
        '"\x7f"',
        '"\t"',
    ),
    *(
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\u200b"',
        '"é"',
        '"한 글"',
        '"\\u0085a"',
        '"\\u1680"',
        '"\\x"',
        '"true"',
        '"0.5"',
    ),
    *('"2026-11-23T10:15:00.1234567Z"', '"2026-11-23T10:15:00.9999999+05:30"', '"2026-11-23t10:15:00z"'),
    *('"2026-11-23 10:15:00Z"', '"2026-11-23T10:15Z"', '"2026-11-23T10:15:00+0100"', '"2026-11-23T24:00:00Z"'),
    *('"2026-11-23T10:15:60Z"', '"2026-02-29T10:15:00Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
    *('"1795428900"', '"2026-11-23T10:15:00,5Z"', '"2026-11-23T10:15:00\u2212 01:00"', '"20261123T101500Z"'),
    *("0", "-0", "1", "-1", "2", "0.0", "-0.0", "1.0", "0.5", "1.5", "1e0", "5e-1", "1e-400", "1e999", "-1e999", "01"),
    *("1.", ".5", "+1", "NaN", "Infinity", "-Infinity", "9007199254740993", "18446744073709551616", "1" + "0" * 40),
    *("0.1000000000000000055511151231257827", "2.2250738585072011e-308", "0.30000000000000004", "1e23", "8.5e-7"),
    *("true", "false", "null", "[]", "{}", "[[]]", "[null]", "[1]", "[0.5, 0.5]", "[1, 2, 3, 4]", '["a"]', '["a", 1]'),
    *(
        '{"a": 1}',
        '{"A": 0.5}',
        '{"A": {"text": "a"}}',
        '{"a": 0.1, "a": 2}',
        '{"": 1}',
        '{"a\\nb": 0.5}',
        '{"url": "u"}',
    ),
    *("[[[[[[[[1]]]]]]]]", "[" * 60 + "]" * 60, '{"a": [NaN]}', '{"a": {"b": [1e400]}}', "/**/1", "1 2", "", '"'),
)
"""JSON texts, and some that are none, to stand in place of a value."""

NAMES = (
    "external_id",
    "external_ids",
    "schema_",
    "job",
    "scores",
    "labels",
    "boxes",
    "evidence",
    "a",
    "exclusive",
    "score",
)
_HERE = "@@here"


def mutated(count: int, chance: random.Random) -> Iterator[bytes]:
    """So many changed messages."""
    kinds = list(MESSAGES.values())
    for _ in range(count):
        message = json.loads(json.dumps(chance.choice(kinds)))
        raw = _changed(message, chance)
        for _ in range(chance.choice((0, 0, 0, 1))):
            raw = _garbled(raw, chance)
        yield raw


def _changed(message: Any, chance: random.Random) -> bytes:
    texts: list[str] = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        place = _place(message, chance)
        if isinstance(place, dict):
            _change_object(place, chance)
        elif place:
            place[chance.randrange(len(place))] = _HERE
    raw = json.dumps(message, ensure_ascii=chance.random() < 0.5)
    while f'"{_HERE}"' in raw:
        texts.append(chance.choice(TEXTS))
        raw = raw.replace(f'"{_HERE}"', texts[-1], 1)
    return raw.encode("utf-8", "surrogatepass")


def _change_object(place: dict[str, Any], chance: random.Random) -> None:
    name = chance.choice([*place, chance.choice(NAMES)])
    match chance.randrange(6):
        case 0:
            place.pop(name, None)
        case 1:
            place[chance.choice(NAMES)] = place.pop(name, _HERE)
        case _:
            place[name] = _HERE


def _place(message: Any, chance: random.Random) -> Any:
    """An object or a list in it, the outer ones more often."""
    inner = list(message.values()) if isinstance(message, dict) else message
    inner = [one for one in inner if isinstance(one, dict | list)]
    return message if not inner or chance.random() < 0.4 else _place(chance.choice(inner), chance)


def _garbled(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(raw) + 1)
    match chance.randrange(5):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + bytes([chance.randrange(256)]) + raw[at:]
        case 2:
            return raw[:at] + raw[at + 1 :]
        case 3:
            return raw[:-1] + b', "' + chance.choice(NAMES).encode() + b'": ' + chance.choice(TEXTS).encode() + b"}"
        case _:
            return raw + chance.choice((b" ", b"\n", b"\x00", b"{}", b"\xef\xbb\xbf"))
