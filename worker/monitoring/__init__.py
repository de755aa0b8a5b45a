"""What operators see: status, metrics, health, checks before the start, housekeeping."""
