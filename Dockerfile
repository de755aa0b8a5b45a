# syntax=docker/dockerfile:1

# Python 3.13: the newest series that every pinned dependency supports; it gets security fixes until October 2029.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/worker
ENV PATH=/opt/worker/bin:$PATH
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY worker worker
RUN pip install -c constraints.txt ".[scorer,masks,yaml,http,kafka,sqs]"

FROM build AS build-sandbox
RUN pip install -c constraints.txt ".[demo]"

FROM python:${PYTHON}-slim AS runtime
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="kili-prediction-worker" \
      org.opencontainers.image.description="Takes model predictions from a queue to the Kili labeling platform" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/worker/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Nothing is written outside /tmp: run with a read-only root file system and a tmpfs there.
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "prediction-worker"]

# The local Kili and the demo; not for production.
FROM runtime AS sandbox
COPY --from=build-sandbox /opt/worker /opt/worker
EXPOSE 8765
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/version', timeout=2)"]
CMD ["demo"]

# The last target is the default one.
FROM runtime AS worker
COPY --from=build /opt/worker /opt/worker
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s CMD ["prediction-worker", "health"]
CMD ["start"]
