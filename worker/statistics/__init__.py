"""Estimators, intervals, detectors and comparisons: pure functions of samples."""
