"""The operator's page of ``prediction-worker serve``: what the fleet knows, and what an operator may do about it.

Nothing is computed here: figures come from ``worker.monitoring.status``, letters from ``worker.spool.dead_letters``,
alarms and reports from ``worker.feedback`` and ``worker.reports``. Every page is whole without a script; with one, the
figures are renewed by server-sent events.
"""
