"""Families of serving-stack payloads; each module exports one ``Family`` or several."""
