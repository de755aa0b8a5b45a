"""``python -m worker`` is ``prediction-worker``."""

from worker.cli import main

main()
