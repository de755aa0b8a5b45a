"""Take model predictions from a queue to the Kili labeling platform."""

__version__ = "0.1.0"
