"""The alerts with the real Prometheus and Alertmanager; needs Debian's packages, runs by ``make test-alerts``."""
