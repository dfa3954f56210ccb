.PHONY: check
check:
	python3 dev.py test
