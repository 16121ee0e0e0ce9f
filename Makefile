# Every target calls `python -m helpers VERB`, which also works without make.
PYTHON ?= python3

.PHONY: lab test quick setup course build book lint doctor results bench gpu-check progress lock bundle homework

lab test quick setup course build book lint doctor results bench gpu-check progress lock bundle homework:
	@$(PYTHON) -m helpers $@ $(ARGS)

.PHONY: publish
publish:
	@$(PYTHON) -m helpers publish $(REPO)

.PHONY: grade
grade:
	@$(PYTHON) -m helpers grade $(if $(SUBMISSIONS),"$(SUBMISSIONS)") $(ARGS)
