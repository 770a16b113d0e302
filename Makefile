# `make repro` and `make test` need Python 3.11 to 3.13, git and make; they set up the rest in .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := bench/.venv/.ready
UI := http://127.0.0.1:5000

# Stages run `python`: this one. No tool phones home.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true

.PHONY: repro test drill check ui studies report serve relocate bench pretrain lock help here

# The programs in .venv name the folder that they were made in: after a move, or in a copy, make them anew.
.PHONY: $(if $(filter-out $(CURDIR),$(shell cat $(READY) 2>/dev/null)),$(READY))

help:  ## list what make can do
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12

repro: $(READY)  ## from scans to a registered model
	dvc repro

test: $(READY)  ## all tests, in a process more than there are cores
	pytest --numprocesses=auto --no-loadscope-reorder

drill: $(READY)  ## feed the data stages a hundred kinds of broken input, and see what they say
	PYTHONPATH=pipelines python -m tests.drills

check: $(READY)  ## format, lint, types, import layers, doctests
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	pytest --quiet --doctest-modules src/glioseg

ui: here  ## MLflow on the runs, http://127.0.0.1:5000
	@echo "MLflow opens in its GenAI view: choose 'Model training' at the top left, or go straight to"
	@echo "  trials     $(UI)/#/experiments/1/runs?workflowType=machine_learning"
	@echo "  trainings  $(UI)/#/experiments/2/runs?workflowType=machine_learning"
	@echo "  test Dice  $(UI)/#/experiments/3/runs?workflowType=machine_learning"
	@echo "  models     $(UI)/#/models?workflowType=machine_learning"
	@uri="$$(python -m glioseg.mlops.tracking.storage tracking)" && \
	  MLFLOW_BACKEND_STORE_URI="$$uri" mlflow ui --host 127.0.0.1 --port 5000 --workers 1

studies: $(READY)  ## Optuna's dashboard on the studies, http://127.0.0.1:8080
	@python -m glioseg.mlops.tuning.dashboard 8080

report: here  ## all models and studies in one offline page, reports/experiments.html
	glioseg report

serve: here  ## the champion over HTTP and on a page, http://127.0.0.1:8000
	glioseg serve

relocate: $(READY)  ## after this folder was moved, renamed or restored: make the runs in mlruns work again
	glioseg relocate

here: $(READY)
	@python -m glioseg.mlops.tracking.mlflow_locations

bench: $(READY) $(PEERS)  ## beside PyTorch, MONAI and nnU-Net, hours; ONLY=train_step for one
	python -m bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

pretrain: $(READY)  ## train the model that comes with the package, hours; pipelines/pretrain.yaml says how
	python pipelines/pretrain.py

lock: $(READY)  ## resolve requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile bench/requirements.in --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-emit-index-url --no-annotate --no-header --quiet --output-file bench/requirements.lock

# uv itself comes from the lock too; pip only has to fetch that one wheel.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "glioseg needs Python 3.11 to 3.13; try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	pwd -P > $@

# The peers' own environment: six gigabytes, which nothing but the benchmarks needs.
$(PEERS): bench/requirements.lock | $(READY)
	$(PYTHON) -m venv --clear --without-pip bench/.venv
	UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python bench/.venv/bin/python --require-hashes -r bench/requirements.lock
	touch $@
