"""Wrappers around payloads, by who wraps; each module exports its ``ENVELOPES``."""
