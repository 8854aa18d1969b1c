PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
RUN := $(VENV)/bin/python

.PHONY: benchmark play test learning long check fast docs reliability reliability-small clean

benchmark: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/dialog-retrieval benchmark run --suite drawn-1k --seeds 0 --agents random supervised belief@shipped ceiling --films 2 --output runs/benchmark

# The page, in the browser; Ctrl-C ends it.
play: $(INSTALLED)
	$(VENV)/bin/dialog-retrieval play

# Each process of the tests has one thread, and a file of tests stays in one process, for what its tests share.
test: $(INSTALLED) check reliability-small
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --dist loadfile

# What libraries learn with their default settings on the default catalogue; an hour on two idle cores.
learning: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/learning -m long --numprocesses auto

# All that `make test` leaves out for the time that it takes: the above, and what is tried again and again.
long: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m long --numprocesses auto

# A few cases of every part; less than two minutes on two cores.
reliability-small: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m tools.reliability --small

# Tens of thousands of hostile cases, and the page about them; a quarter of an hour on two cores.
reliability: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m tools.reliability --output docs/reliability.md

fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --dist loadfile -m "not slow"

check: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(INSTALLED)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(RUN) -m mkdocs build --quiet --strict

$(INSTALLED): setup.py setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; call make with PYTHON=python3.x")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --constraint constraints.txt --editable ".[dev,images]"
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) build *.egg-info
