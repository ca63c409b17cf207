# `make demo` and `make test` need a Python 3.11 or later and nothing else: they make .venv and keep it up to date.
# Kept to what GNU make 3.81 (macOS) and a POSIX sh understand.

# The interpreter to use; empty: the first of CANDIDATES that fits.
PYTHON ?=
VENV ?= .venv
PYTEST_ARGS ?=
SERVE ?=
BENCH_ARGS ?=

CANDIDATES := python3.13 python3.12 python3.11 python3
EXTRAS := dev,demo
PY := "$(VENV)/bin/python"

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check bench clean venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile
	@echo 'Variables: PYTHON=/path/to/python3, PYTEST_ARGS="-k name", BENCH_ARGS="micro --quick"'

demo: venv ## see requests allowed and refused; SERVE=1 stays up to be tried by hand
	@$(PY) -m tokenguard demo $(if $(filter 1,$(SERVE)),--serve)

test: venv ## the test suite; PYTEST_ARGS="-n0 -x" for one process
	@$(PY) -m pytest --numprocesses=auto --dist=worksteal $(PYTEST_ARGS)

# On Python 3.11 now and then a thread dies, in a suite that starts thousands: "Cannot install a trace function while
# another trace function is being installed". From 3.12 on there is no such error.
coverage: venv ## the test suite with branch coverage, which has to be complete; best on Python 3.12 or later
	@$(PY) -m pytest --numprocesses=auto --dist=worksteal --cov=tokenguard --cov-fail-under=100 $(PYTEST_ARGS)

check: venv ## lint, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The peers are added to what .venv has, once, with a stamp of their own: `make test` before or after makes nothing anew,
# and a new .venv begins without them. Node's libraries come where npm is; whatever is missing is left out, and named.
bench: venv ## speed, against the bare signature check and other libraries: half an hour; results in benchmarks/results
	@set -eu; \
	if ! cmp -s "$(VENV)/made-from" "$(VENV)/bench-from"; then \
		echo 'Adding the libraries to compare with to $(VENV).' >&2; \
		$(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable '.[bench]'; \
		cp "$(VENV)/made-from" "$(VENV)/bench-from"; \
	fi; \
	cd benchmarks/node; \
	if command -v npm >/dev/null 2>&1 && ! cmp -s package-lock.json node_modules/made-from; then \
		npm ci --silent && cp package-lock.json node_modules/made-from || echo 'npm ci failed in benchmarks/node.' >&2; \
	fi
	@$(PY) -m benchmarks --output benchmarks/results $(BENCH_ARGS)

clean: ## remove .venv and everything else that was made here
	rm -rf "$(VENV)" dist .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		benchmarks/node/node_modules
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate fits when it runs (a pyenv shim may exist and fail), is new enough and can make environments. It answers
# with its version and its path; below an activated .venv that is the Python which .venv was made from.
PROBE := import sys; sys.version_info < (3, 11) and sys.exit(1); \
	print("%d.%d.%d" % sys.version_info[:3], sys._base_executable)

# The stamp holds all that .venv was made from, the checkout's own path too: an editable install points there.
venv:
	@set -eu; python= lacking=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",$(CANDIDATES)); do \
		found=$$("$$candidate" -c '$(PROBE)' 2>/dev/null) || continue; \
		if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$$found; break; fi; \
		lacking="$$lacking $$candidate"; \
	done; \
	no_venv() { \
		echo "$$1 cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; \
		exit 1; \
	}; \
	if [ -z "$$python" ]; then \
		if [ -n "$$lacking" ]; then no_venv "$${lacking# }"; fi; \
		echo "No Python 3.11 or later runs here as $(if $(PYTHON),$(PYTHON),any of: $(CANDIDATES)); install one," \
			"or name yours: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	made_from=$$(echo "$$python [$(EXTRAS)] $(CURDIR)"; cksum pyproject.toml constraints.txt); \
	if [ "$$made_from" = "$$(cat "$(VENV)/made-from" 2>/dev/null)" ] && $(PY) -c '' 2>/dev/null; then exit 0; fi; \
	echo "Setting up $(VENV) with Python $${python%% *}: a minute or so, once." >&2; \
	"$${python#* }" -m venv --clear "$(VENV)" || no_venv "$${python#* }"; \
	$(PY) -m pip --disable-pip-version-check install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'; \
	printf '%s\n' "$$made_from" > "$(VENV)/made-from"
