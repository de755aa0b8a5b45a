"""What humans should see first, and why."""

from worker.review.confidence import own_confidence
from worker.review.decision import ReviewDecision, ReviewPolicy, Subject
from worker.review.threshold import ThresholdPolicy

__all__ = ["ReviewDecision", "ReviewPolicy", "Subject", "ThresholdPolicy", "own_confidence"]
