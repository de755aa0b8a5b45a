"""The worker's real code in a simulated world: one thread, one seed, one virtual clock. See docs/simulation.md."""
