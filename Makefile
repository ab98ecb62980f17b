# Every target installs what it needs: only Python 3.11 or later and make are required.

PYTHON ?= python3
# Tests mostly wait for servers: two workers take little more than half the time.
WORKERS ?= 2
# uv from the machine, or else installed in a venv of its own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := .venv/bin
# Environments of other tools, separate from homma's dependencies.
OTHERS := $(patsubst %,deploy/%/.venv/ready,spark dbt airflow)

# MinIO's last community version, only for tests. The machine's Go builds it in three minutes.
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
MINIO := $(HOME)/.cache/homma/minio/$(MINIO_VERSION)/minio
ON_MINIO := land history verify

# The page's tools run on the Node of the venv, not on the machine's.
PAGE := src/homma/serve/page
NODE := env PATH="$(CURDIR)/$(RUN):$$PATH" npm --prefix $(PAGE)
PAGE_SOURCES := $(PAGE)/index.html $(PAGE)/vite.config.ts $(PAGE)/tsconfig.json $(wildcard $(PAGE)/src/*)
BUILT := src/homma/serve/static/index.html

.PHONY: help demo test test-stack test-minio spark-sql soak check bench page page-test dist clean

help:                        ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 16

demo: .venv/ready $(BUILT)   ## run the whole pipeline on this machine; Ctrl-C stops it
	$(RUN)/homma up $(ARGS)

test: .venv/ready $(BUILT)   ## run all tests, with real servers and a browser
	$(RUN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-stack: .venv/ready $(BUILT) $(OTHERS)  ## test Trino, Spark, dbt, Airflow and others on a real lake
	$(RUN)/pytest -m stack -o timeout=1800 -n $(WORKERS) --dist loadfile $(ARGS)

test-minio: .venv/ready $(MINIO)  ## run the lake's tests on MinIO with Apache's REST catalog; needs Go
	MINIO_FOLDER=$(dir $(MINIO)) $(RUN)/pytest --storage minio \
	  $(ON_MINIO:%=tests/lake/test_%.py) $(ARGS)

spark-sql: .venv/ready deploy/spark/.venv/ready  ## open a SQL shell on the lake: docs/reading-the-lake.md
	@PATH="$(CURDIR)/deploy/spark/.venv/bin:$$PATH" SPARK_CONF_DIR=$(CURDIR)/deploy/spark \
	  spark-sql --jars "$$($(RUN)/python deploy/spark/jars.py)" $(ARGS)

soak: .venv/ready            ## cause random faults: MINUTES=10 SEED=4, see docs/fault-tests.md
	$(RUN)/python -m tests.faults.soak --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1) $(ARGS)

check: .venv/ready page-test ## check style, types, import rules and rendered files
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/homma render --check

page: $(BUILT)               ## build the page of homma serve if its sources have changed

dist: .venv/ready $(BUILT)   ## build the wheel and the sdist, with the page in them
	$(RUN)/python -m hatchling build

page-test: $(PAGE)/node_modules/ready  ## check the types of the page and run its unit tests
	$(NODE) run --silent test

bench: .venv/ready           ## run a benchmark; WHAT=steps and others: bench/README.md
	$(RUN)/python -m bench.$(or $(WHAT),end_to_end) $(ARGS)

clean:                       ## delete what the targets have installed, and the demo's data
	rm -rf .venv .uv .homma deploy/*/.venv $(PAGE)/node_modules src/homma/serve/static dist

.venv/ready: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --locked --quiet --compile-bytecode
	@touch $@

$(BUILT): $(PAGE)/node_modules/ready $(PAGE_SOURCES)
	$(NODE) run --silent build
	@touch $@

$(PAGE)/node_modules/ready: $(PAGE)/package.json $(PAGE)/package-lock.json | .venv/ready
	$(NODE) ci --silent --no-fund --no-audit
	@touch $@

deploy/%/.venv/ready: deploy/%/pyproject.toml deploy/%/uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --locked --quiet --project deploy/$*
	@touch $@

$(MINIO):
	GOBIN=$(dir $@) go install github.com/minio/minio@$(MINIO_VERSION)

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
