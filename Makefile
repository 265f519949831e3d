# Each target does all its own set-up. PYTHON may name another interpreter, 3.11 or later; KILLS and SEED are torture's, CONTACTS is campaign's.
PYTHON ?= python3
VENV   := .venv
KILLS  ?= 260
SEED   ?= 20261123
CONTACTS ?= 5000
READY  := $(VENV)/.installed

# The tests start some hundreds of processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test torture benchmark campaign history clean

demo: $(READY)
	$(VENV)/bin/smtprelay demo

# A worker more than there are cores, as many tests wait for timers of the daemon. The slow ones lie side by side: who has
# done his own takes some of them over.
test: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/pytest -n $$(($$(nproc) + 1)) --dist worksteal

torture: $(READY)
	$(VENV)/bin/pytest tests/torture --capture=no --kills $(KILLS) --seed $(SEED)

# As root; wants Debian's postfix, opendkim, libsasl2-modules and sasl2-bin.
benchmark: $(READY)
	$(VENV)/bin/python -m benchmarks

campaign: $(READY)
	$(VENV)/bin/python -m benchmarks.campaign --contacts $(CONTACTS)

history: $(READY)
	$(VENV)/bin/python -m benchmarks.history

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)
