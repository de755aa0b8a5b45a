"""Speed, measured beside every other way to bring predictions to Kili: ``python -m benchmarks.speed``.

Kili is the sandbox, in a process of its own. What a competitor claims does not count: what it finished is counted and
checked in the sandbox's state.
"""
