"""docs/formats.md with its table of formats, which is made from the registry and the mappings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.formats.mappings import SHIPPED, shipped
from worker.formats.mappings.examples import read_examples
from worker.formats.mappings.mapping import MappingExample
from worker.formats.registry import ANSWERS, ENVELOPES
from worker.formats.structure import Recognised

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
BEGIN, END = "<!-- formats table -->\n\n", "\n<!-- end of formats table -->"
_HEAD = "| format | what it is | recognised by structure | options | limits | example |\n|---|---|---|---|---|---|\n"
_LINK = "[message](../examples/{}.json)"


def page() -> str:
    """The whole page: what is written by hand, and the table in its place."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    return f"{before}{BEGIN}{formats_table()}{END}{rest.partition(END)[2]}"


def formats_table() -> str:
    """Return the Markdown of every format, in the order in which they are registered, with their number."""
    mappings = list(shipped().families.values())
    kinds = f"{len(ANSWERS)} built in, {len(ENVELOPES)} envelopes, {len(mappings)} mappings"
    examples = shipped_examples()
    return "\n".join(
        (
            f"There are {number_of_formats()} formats: {kinds}.\n",
            "### Built in\n",
            _HEAD + "".join(_row(item, _LINK.format(item.name)) for item in ANSWERS),
            "### Envelopes\n",
            _HEAD + "".join(_row(item, _LINK.format(item.name)) for item in ENVELOPES),
            "### Mappings\n",
            _HEAD + "".join(_row(item, _payload(examples[item.name])) for item in mappings),
        )
    )


def number_of_formats() -> int:
    """How many formats there are without those of other packages and the user's own."""
    return len(ANSWERS) + len(ENVELOPES) + len(shipped().mappings)


def shipped_examples() -> Mapping[str, Sequence[MappingExample]]:
    """The tests beside the shipped mappings; the first is the documentation's example."""
    return {name: examples for path in sorted(SHIPPED.glob("*.tests.toml")) for name, examples in _read(path)}


def _read(path: Any) -> Iterable[tuple[str, Sequence[MappingExample]]]:
    return read_examples(path).items()


def _row(item: Recognised, example: str) -> str:
    sources = ", ".join(f"[{i}]({source})" for i, source in enumerate(item.sources, 1))
    options = ", ".join(f"`{option}`" for option in item.options) or "none"
    cells = (item.title + f" ({sources})", item.rule, options, item.limits or "none", example)
    return f"| `{item.name}` | {' | '.join(cells)} |\n"


def _payload(examples: Sequence[MappingExample]) -> str:
    first = examples[0]
    stated = f" with `{_plain(dict(first.options))}`" if first.options else ""
    return f"`{_plain(first.payload)}`{stated}"


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("|", "\\|").replace("\n", " ")
