# Every target calls `python -m helpers VERB`, which also works without make.
PYTHON ?= python3

.PHONY: lab test quick setup course build lint doctor results lock

lab test quick setup course build lint doctor results lock:
	@$(PYTHON) -m helpers $@ $(ARGS)
