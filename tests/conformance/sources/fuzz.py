"""Random requests against a real gateway: ``python -m tests.conformance.sources.fuzz SCHEMATHESIS``.

No answer may be a 500, none may be undocumented, and the gateway must live and keep its memory.
"""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.conformance.sources.worlds import TOKEN, Http, opened

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
GROWTH = 120_000_000
"""Bytes that the gateway may take beyond what it had at first."""


def main() -> int:
    """Fuzz; 0 when nothing was found."""
    with opened(Http, WORKER_INTAKE__MAX_INBOX="1000000") as world:
        assert isinstance(world, Http)
        world.serve()
        assert world.gateway is not None
        process = psutil.Process(world.gateway.pid)
        before = process.memory_info().rss
        base = f"http://127.0.0.1:{world.port}"
        command = [sys.argv[1], "run", f"{base}/openapi.json", "--url", base, "--checks", CHECKS]
        command += ["--header", f"Authorization: Bearer {TOKEN}", *sys.argv[2:]]
        found = subprocess.run(command, check=False).returncode
        grown = process.memory_info().rss - before
        print(f"the gateway has grown by {grown / 1e6:.0f} MB")
        return found or int(grown > GROWTH or world.status("/livez") != 200)


if __name__ == "__main__":
    sys.exit(main())
