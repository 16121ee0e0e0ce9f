# Every target calls `python -m helpers VERB`, which also works without make.
PYTHON ?= python3

.PHONY: lab test quick setup course build lint doctor results bench progress lock

lab test quick setup course build lint doctor results bench progress lock:
	@$(PYTHON) -m helpers $@ $(ARGS)
