"""Families of serving-stack payloads; each module has one ``Family`` or several."""
