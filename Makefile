# Every command is `python -m fcutils.course NAME`, which is what one types on Windows.
PYTHON ?= python3
OLD = course: $(PYTHON) is too old to read the course; call one of 3.11 to 3.13, for example `make $@ PYTHON=python3.12`

.PHONY: lab test run demo bench bench-full site
lab test run demo bench bench-full site:
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 8) and sys.exit("$(OLD)")'
	@$(PYTHON) -m fcutils.course $@
