# `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SPARK := .build/spark
LAKE := .build/lake
MYSQL := .build/mysql
MMDEBSTRAP ?= mmdebstrap
WAYS := .build/ways

.DEFAULT_GOAL := help
.PHONY: help venv demo up down test test-fast test-spark test-lake test-flink test-databases test-mysql test-scale test-ways test-server-install bench-server release simulate soak chaos mutate check format bench bench-growth bench-compare clean

help:  ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP)  ## make .venv with the product and its tools; fast when nothing changed

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh deploy/local/install-venv.sh
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: venv  ## the whole pipeline on real servers, with recorded calls; ANALYTICS=1 adds PostgreSQL; KEEP=1 leaves it running
	@$(BIN)/python -m deploy.demo $(if $(KEEP),--keep) $(if $(ANALYTICS),--analytics)

up: venv  ## start the local stack of real servers and leave it running
	@$(BIN)/python -m deploy.local up

down: venv  ## end what `make up` started
	@$(BIN)/python -m deploy.local down

test: venv  ## every test, real servers included
	@$(BIN)/python -m pytest --hypothesis-profile=thorough -m 'not servers' -n auto --dist worksteal
	@$(BIN)/python -m pytest -m servers -n 3 --dist loadfile --no-loadscope-reorder

test-fast: venv  ## the tests that need no server
	@$(BIN)/python -m pytest -m 'not servers and not slow' -n auto --dist worksteal

test-spark:  ## calls judged by Spark, beside what live said, and Spark as a reader; installs pyspark (450 MB) into an environment of its own; needs Java 17
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	@$(SPARK)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,spark]'
	@$(SPARK)/bin/python -m pytest tests/replay/test_spark.py tests/replay/test_spark_readers_servers.py

test-lake:  ## an Iceberg lake on real servers, read by pyiceberg and DuckDB; downloads 90 MB of jars; needs PostgreSQL
	@test -x $(LAKE)/bin/python || $(PYTHON) -m venv $(LAKE)
	@$(LAKE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,lake]'
	@$(LAKE)/bin/python -m pytest tests/lake

test-flink: venv  ## Flink SQL of docs/analytics.md on real servers; downloads 155 MB of jars; needs a JDK, 17 or newer
	@TEST_FLINK=1 $(BIN)/python -m pytest tests/flink

test-ways: $(WAYS)/.installed  ## package, image, chart and composition, with the tools of deploy/tools.txt in an environment of their own
	@test -x $(WAYS)/bin/helm || ! command -v go >/dev/null || GOBIN=$(CURDIR)/$(WAYS)/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0
	@$(WAYS)/bin/python -m pytest tests/deploy/ways

test-server-install: $(WAYS)/.installed  ## one server, installed under systemd in a Debian of its own; as root, with mmdebstrap and systemd-nspawn
	@SERVER_INSTALL=1 $(WAYS)/bin/python -m pytest tests/deploy/server

bench-server: $(WAYS)/.installed  ## memory and CPU of one installed server at rest and with 5 to 400 phones (ten minutes); as root, like test-server-install
	@$(WAYS)/bin/python -m tests.deploy.server.measure

release: $(WAYS)/.installed  ## wheel, sdist, checksums and SBOM of the tag at this commit, into dist/
	@$(WAYS)/bin/python -m deploy.release

$(WAYS)/.installed: pyproject.toml constraints.txt deploy/tools.txt
	@test -x $(WAYS)/bin/python || $(PYTHON) -m venv $(WAYS)
	@$(WAYS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -r deploy/tools.txt
	@touch $@

test-databases: venv  ## several PBXs on one broker; a PostgreSQL that changes, fails over, loses its slot; Connect on a secured broker (ten minutes)
	@TEST_DATABASES=1 $(BIN)/python -m pytest tests/databases

test-mysql: venv  ## capture from MySQL on real servers (two minutes); fetches its server from Debian's unstable release (60 MB; needs mmdebstrap)
	@$(BIN)/python -c 'from tests.sources.mysql import program; raise SystemExit(program() is None)' || { rm -rf $(MYSQL) && $(MMDEBSTRAP) --quiet --variant=extract --include=mysql-server-core sid $(MYSQL); }
	@TEST_DATABASES=1 $(BIN)/python -m pytest tests/databases/test_mysql_servers.py

test-scale: venv  ## three brokers under load: workers added and removed, brokers killed, everything restarted (ten minutes); ONLY="PHASE .." JSON=FILE
	@$(BIN)/python -m tests.scale $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

simulate: venv  ## 100,000 seeded schedules of crashes against checkpoint and log
	@$(BIN)/python -m tests.simulate --schedules 100000

soak: venv  ## ten minutes of faults and killed workers on real servers; SECONDS=.. CALLS=.. CRM=".." SEED=..
	@$(BIN)/python -m tests.faults.soak $(if $(SECONDS),--seconds $(SECONDS)) $(if $(CALLS),--calls $(CALLS)) $(if $(CRM),--crm $(CRM)) $(if $(SEED),--seed $(SEED))

chaos: venv  ## every fault alone on the real pipeline; ONLY="FAULT .." MINUTES=.. (at random) SEED=.. SHORT=1 AGAIN=1
	@$(BIN)/python -m tests.chaos $(if $(ONLY),--only $(ONLY)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(SHORT),--short) $(if $(AGAIN),--again)

mutate: venv  ## mutation testing of results, answered, end of call, direction, parties, numbers (half an hour); ONLY="MODULE .."
	@$(BIN)/python -m tests.mutation $(if $(ONLY),--only $(ONLY))

check: venv  ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: venv  ## put format and imports right
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: venv  ## measure; ratios within one run (15 min); not what one server takes at rest, see bench-growth
	@$(BIN)/python -m tests.bench --only classify remembered long rows live deliveries finished replay report sink export disk gaps \
	  --calls 3000 --waiting 10000 --finished 100000 --replayed 200000 --sunk 20000 --exported 20000 100000 --compared 200000

bench-growth: venv  ## measure the largest sizes: partitions, kept, open, long and finished calls, a replay's memory, at rest, a hub of 40 PBXs (an hour)
	@$(BIN)/python -m tests.bench --only remembered long deliveries finished growth partitions replay_memory unended at_rest gaps hub \
	  --pbxs 5 20 40 --idle 60 \
	  --remembered 50000 --waiting 100000 --calls-per-second 10 100 --open-calls 100 1000 10000 50000 --finished 1000000 3000000 \
	  --replayed-in-memory 10000000

bench-compare: venv  ## measure, and compare the ratios with the stored ones (tests/bench/ratios.json)
	@$(BIN)/python -m tests.bench --only classify remembered rows --compare tests/bench/ratios.json

clean:  ## remove the environment and everything built; downloads stay in the cache
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .hypothesis
