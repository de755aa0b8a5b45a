"""Moto's server in a process of its own: ``python -m tests.conformance.sources.moto_server PORT``."""

from __future__ import annotations

import sys
import threading

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False).start()
    threading.Event().wait()
