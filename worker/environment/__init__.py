"""What a process stands on: time, logs, Redis, threads."""
