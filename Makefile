# make run: set up and search the built-in digits. make test: set up and run all checks.
# make docs: build the documentation site in docs/_build.
# make check: lint, types, layers and the quick tests of the packages that you changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := studies/ocrsearch/digits
SINCE ?= HEAD

.PHONY: install run check test docs clean

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: $(INSTALLED)
	$(BIN)/ocrsearch run --data digits --timeout 80s
	$(BIN)/ocrsearch best --study digits --export $(DEMO)/model.pt
	$(BIN)/ocrsearch evaluate $(DEMO)/model.pt --data digits
	rm -rf $(DEMO)/images
	$(BIN)/ocrsearch data save digits --output $(DEMO)/images --n 8
	$(BIN)/ocrsearch predict $(DEMO)/model.pt $(DEMO)/images
	$(BIN)/ocrsearch report digits --output $(DEMO)/study.html
	@echo
	@echo "model     $(DEMO)/model.pt     use: $(BIN)/ocrsearch predict $(DEMO)/model.pt FILE"
	@echo "figures   $(DEMO)/study.html   open in a browser"
	@echo "images    $(DEMO)/images       named after their labels"
	@echo "study     studies/ocrsearch.db                      browse: $(BIN)/ocrsearch dashboard"

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	tests="$$($(BIN)/python scripts/changed_tests.py $(SINCE))"; test -z "$$tests" || \
		$(BIN)/python -m pytest --numprocesses 2 -m "not slow" --exitfirst $$tests

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

docs: $(INSTALLED)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build
	@echo "docs/_build/index.html"

clean:
	rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
