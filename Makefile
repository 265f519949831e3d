# Each target does all its own set-up. PYTHON may name another interpreter, 3.11 or later.
PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.installed

.PHONY: demo test clean

demo: $(READY)
	$(VENV)/bin/smtprelay demo

test: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -n auto

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)
