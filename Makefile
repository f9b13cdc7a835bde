# Every command is `python -m fcutils.course NAME`, which is what one types on Windows.
PYTHON ?= python3

.PHONY: lab test run demo bench bench-full site
lab test run demo bench bench-full site:
	@$(PYTHON) -m fcutils.course $@
