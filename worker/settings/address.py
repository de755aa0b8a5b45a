"""Where to listen, as the settings write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

FORM = "write HOST:PORT, HOST:FIRST-LAST for several workers of one machine, or nothing to turn it off"
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:\s]+):(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and a range of ports, of which the first free one is taken; port 0 is any free one."""

    host: str
    ports: range

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``HOST:FIRST-LAST``.

        Raises:
            ValueError: it is neither.
        """
        found = _ADDRESS.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"no address; {FORM}")
        first = int(found["first"])
        last = int(found["last"] or first)
        if not first <= last <= 65_535 or (first == 0 and last != 0):
            raise ValueError(f"no ports; {FORM}")
        return cls(found["host"].strip("[]"), range(first, last + 1))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        last = f"-{self.ports[-1]}" if len(self.ports) > 1 else ""
        return f"{host}:{self.ports[0]}{last}"
