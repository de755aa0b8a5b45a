"""The benchmark: this worker beside every other way to bring predictions to Kili, in one run on one machine.

Kili is the sandbox, in a process of its own. What a competitor claims does not count: what it finished is counted and
checked in the sandbox's state.
"""
