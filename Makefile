# Needs make and Python 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS ?= 1200
SEED ?= 1
FUZZ ?= 20
SEEDS ?= 1-20
DAYS ?= 1
# The server's binary for test-redis: a path, or a name on PATH.
REDIS_SERVER ?= redis-server
# Compiled modules are kept even where the environment forbids it: each of the tests' many processes starts in half the time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-rolling fuzz fuzz-contract fuzz-formats fuzz-http test-redis test-long test-servers test-sources test-browser test-alerts pictures lint docs bench bench-quick faults-one-document soak simulate simulate-memory lock clean

demo: $(VENV)/.demo
	$(BIN)/prediction-worker demo $(ARGS)

# A file stays on one process, in the order that tests/conftest.py gives: files that wait and files that compute in turns.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# Cases that take too long for the suite, and every fault case on every server.
test-long: $(VENV)/.dev
	EVERY_SERVER=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow or heavy' $(ARGS)

# Properties with fresh examples, FUZZ times as many; failures are kept in .hypothesis and tried first the next time.
fuzz: $(VENV)/.dev
	FUZZ=$(FUZZ) $(BIN)/python -m pytest -n 2 --timeout 1800 $$(grep -rlE '^from hypothesis' tests --include 'test_*.py') $(ARGS)

# Every test that touches Redis, on one server: make test-redis REDIS_SERVER=/path/of/redis-server
test-redis: $(VENV)/.dev
	REDIS_SERVER=$(REDIS_SERVER) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/faults tests/integration \
	tests/unit/delivery tests/unit/intake tests/unit/kili $(ARGS)

# The whole job with foreign producers on the oldest server, the one that is installed, and the newest: same results?
test-servers: $(VENV)/.dev
	$(BIN)/python -m tests.faults.foreign $(ARGS)

# Every source with 5,000 messages and ten kills; RabbitMQ needs rabbitmq-server (Debian: apt-get install rabbitmq-server).
test-sources: $(VENV)/.dev
	SOURCES_MESSAGES=5000 SOURCES_KILLS=10 $(BIN)/python -m pytest -n 2 --timeout 900 tests/conformance/sources $(ARGS)

# Workers of another commit and of this one take over from one another under load: make test-rolling OLD=<commit>; about ten minutes.
test-rolling: $(VENV)/.dev
	$(BIN)/python -m tests.faults.rolling $(OLD) $(ARGS)

# Random requests by docs/openapi.json against a real gateway, with a tool of its own environment.
fuzz-http: $(VENV)/.dev $(VENV)/.fuzz/bin/schemathesis
	$(BIN)/python -m tests.conformance.sources.fuzz $(VENV)/.fuzz/bin/schemathesis $(ARGS)

$(VENV)/.fuzz/bin/schemathesis: $(BIN)/python
	$(PYTHON) -m venv $(VENV)/.fuzz
	$(VENV)/.fuzz/bin/pip install --quiet 'schemathesis>=4'

# Looks at the report's and the operator's page in a real browser; needs Chromium (Debian: apt-get install chromium), or its path in CHROMIUM.
test-browser: $(VENV)/.dev
	$(BIN)/python -m pytest tests/browser $(ARGS)

# The pictures of the README, from a run of the demo; needs Chromium too.
pictures: $(VENV)/.dev
	$(BIN)/python scripts/pictures.py docs

# The alerts with the real Prometheus and Alertmanager, each fired and resolved while harm is done; some minutes. Needs
# both (Debian: apt-get install prometheus prometheus-alertmanager); their services need not run.
test-alerts: $(VENV)/.dev
	$(BIN)/python -m pytest -s tests/alerts $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of the documentation in build/site; a broken link or anchor fails.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

$(VENV)/.docs: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -c constraints.txt --quiet -e '.[docs]'
	touch $@

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.speed $(ARGS)
	$(BIN)/python -m benchmarks.feedback speed

bench-quick: $(VENV)/.dev
	$(BIN)/python -m benchmarks.speed --quick $(ARGS)

faults-one-document: $(VENV)/.dev
	WORKER_DELIVERY__ONE_DOCUMENT=true $(BIN)/python -m pytest -n 3 --dist loadfile tests/faults $(ARGS)

# 180,000 changed messages: does what reads them quickly agree with what words a refusal?
fuzz-contract: $(VENV)/.dev
	$(BIN)/python -m tests.unit.contract.fuzz_contract $(ARGS)

# 100,000 mutated payloads of every format with a fresh seed; about two minutes.
fuzz-formats: $(VENV)/.dev
	$(BIN)/python tests/unit/formats/fuzz_formats.py $(ARGS)

bench-review: $(VENV)/.dev
	$(BIN)/python -m benchmarks.review --output docs/benchmarks $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m tests.faults.soak --seconds $(SECONDS) --seed $(SEED)

# The worker's real code in a simulated world, by seed; a failing seed prints the line that replays it: docs/simulation.md
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --days $(DAYS) $(ARGS)

# Keys and bytes in Redis over 120 simulated days of thin traffic: flat after the retentions?
simulate-memory: $(VENV)/.dev
	$(BIN)/python -m tests.simulation.memory --daily 6 $(ARGS)

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -c constraints.txt --quiet -e '.[demo]'
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -c constraints.txt --quiet -e '.[dev]'
	touch $@ $(VENV)/.demo

lock:
	$(PYTHON) -m venv $(VENV)/.lock
	$(VENV)/.lock/bin/pip install --quiet '.[dev,docs]'
	$(VENV)/.lock/bin/pip freeze --exclude kili-prediction-worker > constraints.txt
	rm -rf $(VENV)/.lock
