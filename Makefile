# The commands for users and developers; `make help` lists them.

PYTHON ?= python3
MODELS ?= models
RUNS ?= runs
# For train-all and export: PROFILE=quick takes fewer real images, PROFILE=sample needs no data.
PROFILE ?= full
# ENGINE=embedded serves with our own image in place of tensorflow/serving, ENGINE=gpu with its GPU image.
ENGINE ?= tfserving

# Test files run in parallel: they mostly wait for processes to start.
WORKERS ?= 2

BIN := .venv/bin
# The system's certificates: also those of a company's own package mirror.
export UV_SYSTEM_CERTS := true
UV := $(BIN)/uv
PACKAGES := serving/protocol serving/models serving/embedded serving/gateway clients/python training \
  distributions/keraserve
COMPILE := $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header
# All extras but `ray` and `hub`, 201 and 237 MB, which have pins of their own: ray.txt, hub.txt.
EXTRAS := all client embedded http numpy openvino otel pillow serve tf-keras train
OWN := protocol models embedded gateway client training
PROJECTS := pyproject.toml $(PACKAGES:%=%/pyproject.toml)
EXPERIMENT := fashion-mnist-reuse
TRAIN = $(BIN)/keraserve-train
compose_files_tfserving := -f compose.yaml
compose_files_embedded := -f compose.yaml -f docker/compose.embedded.yaml
compose_files_gpu := -f compose.yaml -f docker/compose.gpu.yaml
COMPOSE = MODELS=$(abspath $(MODELS)) RUNS=$(abspath $(RUNS)) docker compose $(compose_files_$(ENGINE))

BENCH = PYTHONPATH=benchmarks $(BIN)/python -m bench
STEPS = build/bench-accelerator/steps.json
BENCH_OPTIONS = $(if $(IMAGES),--images "$(IMAGES)") $(if $(MODEL),--models "$(MODELS)" --model "$(MODEL)")

# The tests that depend most on other packages' versions: connections, both servers, the client's values, and
# a network that is trained, plotted and exported, with its decoders.
LOWEST_TESTS = tests/contract/test_private_names.py tests/protocol/test_http_parser.py \
  tests/gateway/test_http_connection.py tests/gateway/test_idle_connections.py \
  tests/gateway/test_keys.py tests/gateway/test_classify_images.py tests/embedded/test_rest.py tests/client/test_wire.py \
  tests/contract/test_image_format_list.py tests/training/test_export.py tests/training/test_decoders.py \
  tests/training/test_folding.py tests/training/test_plots.py tests/training/test_cli.py

.DEFAULT_GOAL := help
# In order also with -j: `make train-all export` exports the trained models.
.NOTPARALLEL:
.PHONY: help setup demo serve train-all export report test test-faults test-containers test-lowest fuzz lint format \
  typecheck check model docs notebooks test-notebooks bench bench-quick bench-peers bench-training bench-accelerator up down release \
  proto constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready $(if $(RAY),.venv/ray) $(if $(HUB),.venv/hub) ## .venv with everything, at the pinned versions   [RAY=1: Ray too; HUB=1: KerasHub too]

.venv/ready: uv.txt constraints.txt $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "make: Python 3.11 to 3.13 is needed, and $(PYTHON) is another: run make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "make: $(PYTHON) can't make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing into .venv (820 MB of packages, 3.0 GB on the disk) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r uv.txt || \
	  { echo "make: uv could not be installed: is the network, or your package mirror, reachable?" >&2; exit 1; }
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r constraints.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

.venv/ray .venv/hub: .venv/%: %.txt .venv/ready
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $<
	@touch $@

demo: setup ## train on Fashion-MNIST, export, serve, classify images over HTTP and gRPC
	@$(TRAIN) run $(EXPERIMENT) --runs $(RUNS)
	@$(TRAIN) export $(EXPERIMENT) --runs $(RUNS) --models $(MODELS)
	@$(TRAIN) report --runs $(RUNS)
	@$(BIN)/python demo/demo.py --runs $(RUNS) --models $(MODELS)

serve: setup ## page, HTTP and gRPC in one process, until Ctrl-C   [KERASERVE_PORT=8000 KERASERVE_GRPC_PORT=8500]
	@$(BIN)/keraserve serve $(MODELS)

train-all: setup ## every experiment; finished runs are skipped, interrupted ones continue   [PROFILE=quick]
	@$(TRAIN) train-all --runs $(RUNS) --profile $(PROFILE)

export: setup ## a SavedModel of every finished run, into models/   [PROFILE=quick]
	@$(TRAIN) export --runs $(RUNS) --models $(MODELS) --profile $(PROFILE)

model: setup ## a model of your own images   DATA=folder [NAME= BACKBONE= WEIGHTS= ALPHA= IMAGE_SIZE= LAYOUT= SEED= FORCE=1]
	@test -n "$(DATA)" || { echo "make: name the images: make model DATA=folder NAME=its-name" >&2; exit 1; }
	@test -d "$(DATA)" || { echo "make: DATA=$(DATA) is no folder" >&2; exit 1; }
	@$(TRAIN) own "$(DATA)" --runs "$(RUNS)" --models "$(MODELS)" --profile $(PROFILE) \
	  $(if $(NAME),--name "$(NAME)") $(if $(BACKBONE),--backbone $(BACKBONE)) $(if $(ALPHA),--alpha $(ALPHA)) \
	  $(if $(IMAGE_SIZE),--image-size $(IMAGE_SIZE)) $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
	  $(if $(LAYOUT),--layout $(LAYOUT)) $(if $(SEED),--seed $(SEED)) $(if $(FORCE),--force)

report: setup ## runs/report.html
	@$(TRAIN) report --runs $(RUNS)

up: ## the container stack, with the exported models   [ENGINE=embedded|gpu]
	@test -f $(MODELS)/models.config || { echo "make: $(MODELS) is empty: make demo does it in minutes," \
	  "make model DATA=folder with your own images" >&2; exit 1; }
	$(COMPOSE) up --detach --build --wait

down: ## stop the container stack   [ENGINE=embedded|gpu]
	$(COMPOSE) down

test: setup ## every test that needs no container   [WORKERS=1]
	@$(BIN)/python -m pytest -m "not containers" --numprocesses $(WORKERS) --dist loadfile

test-faults: setup ## the promises of docs/reliability.md for minutes   [MINUTES=10 of load each] [CASES=1000000]
	@FAULTS_MINUTES=$(or $(MINUTES),10) FAULTS_CASES=$(or $(CASES),1000000) \
	  $(BIN)/python -m pytest -v tests/system/faults

test-containers: setup ## the tests that need a Docker engine   [TF_SERVING_IMAGE=tensorflow/serving:2.21.0; ours is built]
	@$(BIN)/python -m pytest -m containers

test-lowest: setup ## some of the tests, with the lowest versions that each package allows
	@$(UV) venv --quiet --clear --python $(BIN)/python build/lowest
	@$(UV) pip install --quiet --python build/lowest/bin/python --resolution lowest-direct \
	  serving/protocol serving/models serving/gateway serving/embedded ./training "clients/python[pillow]"
	@$(UV) pip install --quiet --python build/lowest/bin/python \
	  $$(grep -oE "^(pytest|pytest-asyncio|pyyaml)==[^ ]+" constraints.txt)
	@build/lowest/bin/python -m pytest -q -p no:cacheprovider $(LOWEST_TESTS)

fuzz: setup ## schemathesis on the gateway's description, almost 11,000 cases: about eleven minutes
	@FUZZ_EXAMPLES=300 $(BIN)/python -m pytest -s tests/gateway/test_description.py -k schemathesis

lint: setup ## ruff: rules and format; import-linter: which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache --no-logo

format: setup ## let ruff fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: setup ## pyright; strict in gateway, client and protocol
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

check: lint typecheck test ## all that a commit must pass

docs: setup ## the site, from docs/, docstrings and results, in build/docs; every link is checked
	@$(BIN)/python docs/site/build_site.py build/docs

notebooks: setup ## the notebooks, English and Spanish, as .ipynb in build/notebooks
	@$(BIN)/python notebooks/make_notebooks.py build/notebooks

test-notebooks: setup ## run those in English   [KERASERVE_PROFILE=sample]
	@KERASERVE_RUNS="$(abspath $(RUNS))" KERASERVE_MODELS="$(abspath $(MODELS))" \
	  $(BIN)/python notebooks/make_notebooks.py build/notebooks --execute

bench: setup ## Keraserve compared with other servers, into docs/performance.md   [IMAGES=folder]
	@$(BENCH) measure $(BENCH_OPTIONS)
	@$(BENCH) publish

bench-quick: setup ## the same in one short round, only printed
	@$(BENCH) measure --quick $(BENCH_OPTIONS)

bench-peers: setup ## install the other servers for `make bench`, below build/
	@$(BENCH) install

bench-training: setup ## extraction and training, into docs/performance.md   [DATA=folder of class folders]
	@$(BIN)/python benchmarks/training/extraction.py $(if $(DATA),--data $(DATA))
	@$(BENCH) publish

bench-accelerator: setup ## the experiments' steps by Keras on JAX and PyTorch   WITH=a Python that has them [WORKERS=n]
	@test -n "$(WITH)" || { echo "make: name a Python that has Keras, Typer, and JAX or PyTorch:" \
	  "make bench-accelerator WITH=python3" >&2; exit 1; }
	@PYTHONPATH=benchmarks $(BIN)/python -m accelerator record $(STEPS)
	@PYTHONPATH=benchmarks $(WITH) -m accelerator count $(STEPS) runs/bench/accelerator
	@for backend in jax jax_by_operation torch; do PYTHONPATH=benchmarks \
	  $(WITH) -m accelerator measure $(STEPS) runs/bench/accelerator --backend $$backend \
	  $(if $(WORKERS),--workers $(WORKERS)) || exit 1; done
	@PYTHONPATH=benchmarks $(BIN)/python -m accelerator table runs/bench/accelerator runs/bench/accelerator.md \
	  docs/images/accelerator.svg
	@$(BENCH) publish

release: setup ## wheels, sdists, SBOM and, with docker buildx, images, checked; pushes nothing   [DIST=dist]
	@.ci/release "$(or $(DIST),dist)" $(PACKAGES)

proto: setup ## generate the messages from serving/protocol/keraserve_protocol/proto/*.proto
	@cd serving/protocol && ../../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. \
	  keraserve_protocol/proto/*.proto

constraints: setup ## resolve the pinned versions again
	@$(COMPILE) $(OWN:%=--no-emit-package keraserve-%) $(EXTRAS:%=--extra %) --group pyproject.toml:dev \
	  $(PACKAGES:%=%/pyproject.toml) --output-file constraints.txt
	@echo uv | $(COMPILE) --output-file uv.txt -
	@echo ray | $(COMPILE) --constraint constraints.txt --output-file ray.txt -
	@printf 'huggingface-hub\nkeras-hub\n' | $(COMPILE) --constraint constraints.txt --output-file hub.txt -

clean: ## remove .venv and caches; models/ and runs/ stay
	rm -rf .venv .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
