# Every target calls `python -m helpers VERB`, which also works without make.
PYTHON ?= python3

.PHONY: lab test quick setup course build book lint doctor results bench gpu-check progress lock bundle

lab test quick setup course build book lint doctor results bench gpu-check progress lock bundle:
	@$(PYTHON) -m helpers $@ $(ARGS)

.PHONY: publish
publish:
	@$(PYTHON) -m helpers publish $(REPO)
