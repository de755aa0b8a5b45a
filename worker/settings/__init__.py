"""Settings: one tree, environment first."""
