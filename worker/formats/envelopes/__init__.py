"""Wrappers around payloads, by who wraps."""
