"""What delivery is told by the settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """Limits and times (in seconds)."""

    wave_items: int = 1000
    wave_bytes: int = 64_000_000
    batch_items: int = 100
    aging: float = 60.0
    missing_asset_grace: float = 10.0
    fault_grace: float = 86_400.0
    read_lag: float = 3.0
    upload_patience: float = 900.0
    import_limit: float = 3600.0
    interface_age: float = 600.0
    probe: float = 2.0
    probe_cap: float = 5.0
    retry_after_cap: float = 60.0
    path_roots: tuple[Path, ...] = ()
    one_document: bool = False
