"""The HTTP source. ``server`` needs the extra ``http``; this module imports nothing of it."""

from __future__ import annotations

from worker.settings.tree import Settings
from worker.sources.base import Source


def http_source(settings: Settings) -> Source:
    """The HTTP source that the settings describe.

    Raises:
        ValueError: the extra is not installed, or a setting is wrong.
    """
    try:
        from worker.sources.http.server import HttpSource
    except ModuleNotFoundError as error:
        raise ValueError(f"the http source needs {error.name}: pip install 'kili-prediction-worker[http]'") from None
    return HttpSource(settings)


def check_address(settings: Settings) -> None:
    """Try whether the address can be listened on. Raises OSError, which names it."""
    from worker.sources.http.server import listen

    listen(settings.serve.host, settings.serve.port).close()
