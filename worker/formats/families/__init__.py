"""One module per family of serving-stack payloads; each exports its ``FAMILY`` (or ``FAMILIES``)."""
