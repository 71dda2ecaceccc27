# Verbs of the repository; `make help` lists them. ARGS goes to the command: make demo ARGS="--for 20"
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint live-tools bench faults schemas reference wheel

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS :=

help: ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## run everything in one process, with simulated agents
	@$(BIN)/kpistream demo $(ARGS)

JOBS := 2
test: $(STAMP) ## run all tests, JOBS=2 files at a time; those on a real Kafka need Java and Maven
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(STAMP) ## check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

live-tools: $(STAMP) ## install what the live tests need in addition: JDK, Maven, kcat, the Kafka jars, promtool, Alertmanager
	@command -v javac >/dev/null && command -v mvn >/dev/null && command -v kcat >/dev/null || { \
	  command -v apt-get >/dev/null || { echo "install a JDK (17 or newer), Maven and kcat, then run this again" >&2; exit 1; }; \
	  as_root=; [[ $$(id -u) == 0 ]] || as_root=sudo; \
	  $$as_root apt-get update -qq </dev/null; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
	    default-jdk-headless maven kcat </dev/null; }
	@command -v promtool >/dev/null || [[ -x $(BIN)/promtool ]] || { \
	  command -v apt-get >/dev/null || { echo "install promtool (it comes with Prometheus), then run this again" >&2; exit 1; }; \
	  as_root=; [[ $$(id -u) == 0 ]] || as_root=sudo; \
	  $$as_root apt-get update -qq </dev/null; \
	  : "the one program out of the package, so that no Prometheus server is started on this machine"; \
	  there=$$(mktemp -d); (cd "$$there" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .); \
	  cp "$$there/usr/bin/promtool" $(BIN)/promtool; rm -rf "$$there"; }
	@command -v prometheus-alertmanager >/dev/null || [[ -x $(BIN)/prometheus-alertmanager ]] || { \
	  command -v apt-get >/dev/null || { echo "put Prometheus' alertmanager as prometheus-alertmanager on the path" >&2; exit 1; }; \
	  as_root=; [[ $$(id -u) == 0 ]] || as_root=sudo; \
	  $$as_root apt-get update -qq </dev/null; \
	  there=$$(mktemp -d); (cd "$$there" && apt-get download -qq prometheus-alertmanager && dpkg-deb -x prometheus-alertmanager_*.deb .); \
	  : "the templates are where Debian's program looks for them"; \
	  $$as_root mkdir -p /usr/share/prometheus/alertmanager; \
	  $$as_root cp "$$there"/usr/share/prometheus/alertmanager/*.tmpl /usr/share/prometheus/alertmanager/; \
	  cp "$$there/usr/bin/prometheus-alertmanager" $(BIN)/prometheus-alertmanager; rm -rf "$$there"; }
	@$(BIN)/python -m tests.live.broker fetch

bench: $(STAMP) ## measure on a real Kafka: everything, or one part: make bench ARGS="recovery --help"
	@$(BIN)/python -m bench $(or $(ARGS),all)

SEED :=
SEEDS := $(or $(SEED),1)
MINUTES := 0
faults: $(STAMP) ## play seeds of faults on a real Kafka: SEED=7, SEEDS=1..100 or MINUTES=30
	@$(BIN)/python -m tests.faults --seeds $(SEEDS) --minutes $(MINUTES) $(ARGS)

schemas: $(STAMP) ## write the generated files in schemas/ again
	@$(BIN)/kpistream schemas write schemas

reference: $(STAMP) ## write the generated pages of docs/reference/ again
	@$(BIN)/python docs/reference/make.py

wheel: $(STAMP) ## build the wheel into dist/
	@rm -rf dist
	@$(BIN)/python -m build --wheel --outdir dist .

# A virtual environment with exactly the versions of constraints.txt; made again when those change.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
$(STAMP): pyproject.toml constraints.txt
	@found=; for python in $${PYTHON:-} python3 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	[[ -n $$found ]] || { echo "kpistream needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	echo "setting up $(VENV) with $$("$$found" --version) (takes a minute or two)" >&2; \
	"$$found" -m venv --clear $(VENV) || { echo "no venv module: on Debian, apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet -e '.[embedded,dev]'
	@touch $@
