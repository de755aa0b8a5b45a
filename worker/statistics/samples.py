"""What the statistics are about: one prediction of one model version, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One prediction of one model version.

    Attributes:
        asset_id: of the asset, in Kili.
        at: when it was predicted, seconds since the epoch.
        audited: whether the audit draw chose it, before any human had answered.
        inclusion: the draw's probability, in (0, 1]; meaningless for others.
        doubt: what ranks it among the others, 0-1: P(error), else 1 - confidence.
        p_error: P(error) as stored with the decision of this very model version, else None.
        error: 1 - agreement with the humans, 0-1; None while no human has answered.
        copies: how many predictions of the traffic it stands for because the others like it were not uploaded; 1 if all
            were.
        answered_at: when the youngest answer came, seconds since the epoch; 0 without one.
        uploaded_at: when Kili took it, seconds since the epoch; 0 where that is not known. It never changes, and what
            comes later has a later one.
        asked: whether a review was asked for without the audit draw.
    """

    asset_id: str
    at: float
    audited: bool = False
    inclusion: float = 1.0
    doubt: float = 0.5
    p_error: float | None = None
    error: float | None = None
    copies: float = 1.0
    answered_at: float = 0.0
    uploaded_at: float = 0.0
    asked: bool = False

    @property
    def answered(self) -> bool:
        """Whether a human has answered."""
        return self.error is not None

    @property
    def place(self) -> tuple[float, str]:
        """Its place among the others: by when Kili took it, then by asset; of one that is not known, by its time."""
        return self.uploaded_at or self.at, self.asset_id
