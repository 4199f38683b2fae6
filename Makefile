# `make demo` and `make test` require only Python 3.11 or newer and pip; both create .venv if it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONPATH := src
# Certificates of the system, as pip uses them.
export UV_SYSTEM_CERTS ?= 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help venv demo test faults media incremental slurm-test conda-test container-test lint format lock bench gpu clean

help:
	@echo "make demo    run the embedded miniature data set, from raw videos to tables and a report"
	@echo "make test    run all tests"
	@echo "make faults  inject faults: kill -9, full disks, damaged files, bad servers (make faults SHORT=1: minutes)"
	@echo "make media   standardise a matrix of real-world files: is second t second t of the source? (make media SHORT=1: minutes)"
	@echo "make incremental  edit and build again: equal to a clean build? (make incremental SHORT=1: minutes; FOLDER=... continues)"
	@echo "make slurm-test  run the workflow on a real SLURM on this machine (root, Debian; make slurm-test SHORT=1: minutes)"
	@echo "make conda-test  run the miniature with --sdm conda from a stand-in channel and compare (RESULTS=FOLDER: with these)"
	@echo "make container-test  build and run containers/Dockerfile (root, Debian)"
	@echo "make lint    check formatting, lint, types and workflow"
	@echo "make gpu     what a GPU does with the paper's sizes (skipped without one); writes docs/performance_gpu.md"
	@echo "make bench   run all benchmarks and write docs/performance.md"
	@echo "make lock    update requirements.lock from pyproject.toml"
	@echo "make clean   remove results and logs"

venv: $(READY)

# uv installs the same lock as `pip install -r requirements.lock`, several times faster. Bytecode is compiled once here,
# because a workflow starts Python many times and torch alone has 2,000 modules. The clone itself is installed last,
# editable and without dependencies (the lock has them), so that .venv/bin/tsp runs anywhere.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $$($(PYTHON) --version) is too old; make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

demo: $(READY)
	snakemake --cores all
	@$(BIN)/python -m tsp show

# One worker per file, because the tests of a file share its workflow run; tests/conftest.py orders the files.
test: $(READY)
	pytest -n auto --dist loadfile --no-loadscope-reorder

faults: $(READY)
	$(BIN)/python tests/faults/campaign.py $(if $(SHORT),--short)

media: $(READY)
	$(BIN)/python tests/media/campaign.py $(if $(SHORT),--short) $(if $(FOLDER),--folder $(FOLDER))

incremental: $(READY)
	$(BIN)/python tests/incremental/campaign.py $(if $(SHORT),--short) $(if $(FOLDER),--folder $(FOLDER))

slurm-test: $(READY)
	$(BIN)/python tests/slurm/campaign.py $(if $(SHORT),--short)

conda-test: $(READY)
	$(BIN)/python tests/deployment/miniature.py $(if $(RESULTS),--results $(RESULTS))

container-test: $(READY)
	tests/deployment/container.sh

lint: $(READY)
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile rules
	mypy
	snakemake --lint

format: $(READY)
	ruff format .
	ruff check --fix .
	snakefmt Snakefile rules

lock: $(READY)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --extra dev pyproject.toml -o requirements.lock

bench: $(READY)
	$(BIN)/python benchmarks/all.py

gpu: $(READY)
	$(BIN)/python benchmarks/gpu.py

clean:
	rm -rf results logs .snakemake
