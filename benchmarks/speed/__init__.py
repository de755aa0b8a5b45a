"""Measured speed: ``python -m benchmarks.speed``."""
