# Every target sets up by itself what it needs: Python 3.11 or later and make are enough.

PYTHON ?= python3
# Tests mostly wait for servers: two at a time take little more than half as long.
WORKERS ?= 2
# uv from the machine, or else one of our own in a private venv.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
RUN := .venv/bin

.PHONY: help demo test test-stack spark-sql soak check bench clean

help:                        ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 16

demo: .venv/ready            ## the whole pipeline on this machine, live; Ctrl-C ends it
	$(RUN)/homma up $(ARGS)

test: .venv/ready            ## every test, with real servers
	$(RUN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-stack: .venv/ready deploy/spark/.venv/ready  ## Trino, Spark, DuckDB, polars over a real lake; Flink
	$(RUN)/pytest -m stack $(ARGS)

spark-sql: .venv/ready deploy/spark/.venv/ready  ## SQL over the lake: docs/reading-the-lake.md
	@PATH="$(CURDIR)/deploy/spark/.venv/bin:$$PATH" SPARK_CONF_DIR=$(CURDIR)/deploy/spark \
	  spark-sql --jars "$$($(RUN)/python deploy/spark/jars.py)" $(ARGS)

soak: .venv/ready            ## faults at random: MINUTES=10 SEED=4, see docs/fault-tests.md
	$(RUN)/python -m tests.faults.soak --minutes $(or $(MINUTES),5) --seed $(or $(SEED),1) $(ARGS)

check: .venv/ready           ## style, types, import rules, and what is rendered from the code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/homma render --check

bench: .venv/ready           ## how fast, against what; WHAT=steps and others: bench/README.md
	$(RUN)/python -m bench.$(or $(WHAT),end_to_end) $(ARGS)

clean:                       ## forget what the targets have set up, and the demo's data
	rm -rf .venv .uv .homma deploy/spark/.venv

.venv/ready: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --locked --quiet
	@touch $@

deploy/spark/.venv/ready: deploy/spark/pyproject.toml deploy/spark/uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --locked --quiet --project deploy/spark
	@touch $@

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9
