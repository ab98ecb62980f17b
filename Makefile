# Every target sets up by itself what it needs: Python 3.11 or later and make are enough.

PYTHON ?= python3
# Tests mostly wait for servers: two at a time take little more than half as long.
WORKERS ?= 2
# uv from the machine, or else one of our own in a private venv.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := .venv/bin
# Those of others, away from homma's dependencies.
OTHERS := $(patsubst %,deploy/%/.venv/ready,spark dbt airflow)

# MinIO's last community version, built by the machine's Go in three minutes; for tests alone.
MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c
MINIO := $(HOME)/.cache/homma/minio/$(MINIO_VERSION)/minio
ON_MINIO := land history verify

# The page's tools run on the node of the venv, not on the machine's.
PAGE := src/homma/serve/page
NODE := env PATH="$(CURDIR)/$(RUN):$$PATH" npm --prefix $(PAGE)
PAGE_SOURCES := $(PAGE)/index.html $(PAGE)/vite.config.ts $(PAGE)/tsconfig.json $(wildcard $(PAGE)/src/*)
BUILT := src/homma/serve/static/index.html

.PHONY: help demo test test-stack test-minio spark-sql soak check bench page page-test dist clean

help:                        ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 16

demo: .venv/ready $(BUILT)   ## the whole pipeline on this machine, live; Ctrl-C ends it
	$(RUN)/homma up $(ARGS)

test: .venv/ready $(BUILT)   ## every test, with real servers and a browser
	$(RUN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-stack: .venv/ready $(BUILT) $(OTHERS)  ## Trino, Spark, dbt, Airflow and others over a real lake
	$(RUN)/pytest -m stack -o timeout=1800 -n $(WORKERS) --dist loadfile $(ARGS)

test-minio: .venv/ready $(MINIO)  ## the lake's tests on MinIO with Apache's REST catalog; needs Go
	MINIO_FOLDER=$(dir $(MINIO)) $(RUN)/pytest --storage minio \
	  $(ON_MINIO:%=tests/lake/test_%.py) $(ARGS)

spark-sql: .venv/ready deploy/spark/.venv/ready  ## SQL over the lake: docs/reading-the-lake.md
	@PATH="$(CURDIR)/deploy/spark/.venv/bin:$$PATH" SPARK_CONF_DIR=$(CURDIR)/deploy/spark \
	  spark-sql --jars "$$($(RUN)/python deploy/spark/jars.py)" $(ARGS)

soak: .venv/ready            ## faults at random: MINUTES=10 SEED=4, see docs/fault-tests.md
	$(RUN)/python -m tests.faults.soak --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1) $(ARGS)

check: .venv/ready page-test ## style, types, import rules, and what is rendered from the code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/homma render --check

page: $(BUILT)               ## the page of homma serve, built if its sources are newer

dist: .venv/ready $(BUILT)   ## wheel and sdist, with the page in them
	$(RUN)/python -m hatchling build

page-test: $(PAGE)/node_modules/ready  ## types and unit tests of the page
	$(NODE) run --silent test

bench: .venv/ready           ## how fast, against what; WHAT=steps and others: bench/README.md
	$(RUN)/python -m bench.$(or $(WHAT),end_to_end) $(ARGS)

clean:                       ## forget what the targets have set up, and the demo's data
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
