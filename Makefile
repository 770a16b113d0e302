# `make repro` and `make test` need Python 3.11 to 3.13, git and make; they set up the rest in .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := bench/.venv/.ready

# DVC stages call `python`, so .venv comes first. Telemetry of all tools is off.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := true

.PHONY: repro test drill check docs ui studies report serve relocate image bench pretrain lock help here repository

# Programs in .venv contain the path of the folder, so .venv is made again after a move or copy.
.PHONY: $(if $(filter-out $(CURDIR),$(shell cat $(READY) 2>/dev/null)),$(READY))

help:  ## list what make can do
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12

repro: repository $(READY)  ## run the pipeline: from scans to a registered model
	dvc repro

test: $(READY)  ## all tests, in one process more than there are cores
	pytest --numprocesses=auto --no-loadscope-reorder

drill: $(READY)  ## give the data stages a hundred kinds of broken input and check their messages
	PYTHONPATH=pipelines python -m tests.drills

check: $(READY)  ## format, lint, spelling, types, import layers, doctests
	ruff format --check .
	ruff check .
	codespell
	mypy
	lint-imports
	pytest --quiet --doctest-modules src/glioseg docs/site

docs: $(READY)  ## JSON Schemas of both settings files, and the documentation as a site: site/index.html
	python docs/site/settings_schemas.py
	NO_MKDOCS_2_WARNING=1 python -m mkdocs build --quiet

ui: here  ## MLflow's page of runs and models, http://127.0.0.1:5000; PORT=5001 for another port
	@python -m glioseg.mlops.tracking.mlflow_page $(or $(PORT),5000)

studies: $(READY)  ## Optuna's dashboard of the studies, http://127.0.0.1:8080; PORT=8081 for another port
	@python -m glioseg.mlops.tuning.dashboard $(or $(PORT),8080)

report: here  ## all models and studies in one offline page, reports/experiments.html
	glioseg report

serve: here  ## the champion as HTTP service with a viewer, http://127.0.0.1:8000; PORT=8001 for another port
	glioseg serve $(if $(PORT),--port $(PORT))

relocate: $(READY)  ## after this folder was moved, renamed or restored: repair the paths in mlruns
	glioseg relocate

# DVC needs a repository that git can read. Checked before gigabytes of packages are installed.
repository:
	@found=$$(LC_ALL=C git rev-parse --verify HEAD 2>&1) && exit 0; \
	case "$$found" in \
	  *"dubious ownership"*) advice="another user owns this folder, so git does not read it; run: git config --global --add safe.directory '$(CURDIR)'" ;; \
	  *"not found"*) advice="git is not installed" ;; \
	  *) advice="DVC needs a git repository with a commit; clone glioseg, or run: git init && git add --all && git commit -m glioseg" ;; \
	esac; echo "make repro: $$advice" >&2; exit 1

here: $(READY)
	@python -m glioseg.mlops.tracking.mlflow_locations

image:  ## the container image `glioseg`, which segments and serves on a CPU; ENGINE=podman instead of docker
	$(or $(ENGINE),docker) build --tag glioseg .

bench: $(READY) $(PEERS)  ## benchmarks against PyTorch, MONAI and nnU-Net, hours; ONLY=train_step for one
	python -m bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

pretrain: $(READY)  ## train the built-in models as pipelines/pretrain.yaml describes, hours; REAL="FOLDER FOLDER" of labelled cases
	python pipelines/pretrain.py $(REAL)

lock: $(READY)  ## resolve requirements.lock again from pyproject.toml
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock
	uv pip compile bench/requirements.in --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-emit-index-url --no-annotate --no-header --quiet --output-file bench/requirements.lock

# uv itself comes from the lock too; pip fetches that one wheel.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "glioseg needs Python 3.11 to 3.13; try make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	pwd -P > $@

# The environment of the libraries compared with: six gigabytes, needed by the benchmarks alone.
$(PEERS): bench/requirements.lock | $(READY)
	$(PYTHON) -m venv --clear --without-pip bench/.venv
	UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python bench/.venv/bin/python --require-hashes -r bench/requirements.lock
	touch $@
