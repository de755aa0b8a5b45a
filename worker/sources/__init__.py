"""Where messages come from: the port, the sources, and the threads that run them."""

from worker.sources.registry import SourceHost, WaitingLimit, make_sources

__all__ = ["SourceHost", "WaitingLimit", "make_sources"]
