# Steward: build, test, demonstrate. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# One build serves demo, tests and benchmarks.
SWIFT_BUILD := swift build -c release
STEWARD = $(shell $(SWIFT_BUILD) --show-bin-path)/steward

.PHONY: help build lint test peers demo undemo packages lab-packages

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

packages:
	@Tests/install-packages Tests/packages

lab-packages: packages
	@Tests/install-packages Tests/Lab/packages

build: packages ## build steward, optimised, into .build/release
	@Tests/as-invoking-user $(SWIFT_BUILD) --product steward

lint: ## check the form of the Swift code
	swift format lint --strict --recursive --parallel Package.swift Sources Tests

test: lab-packages ## every test, those on real libvirt hosts included (root or sudo; LAB=required makes a skip a failure)
	@Tests/run

demo: lab-packages build ## three libvirt hosts, six guests, steward watching them; ONCE=1 proves it and ends
	@STEWARD=$(STEWARD) Tests/as-root Tests/demo

undemo: ## take the demo down without a trace
	@Tests/as-root Tests/Lab/lab -n demo down

peers: lab-packages build ## measure beside other programs (root or sudo); CORPUS=capture.jsonl.gz adds the store's; Docs/Performance.md has the last
	@Tests/install-packages Tests/Peers/packages
	@STEWARD=$(STEWARD) Tests/as-root Tests/Peers/exporter
	@if [ -z "$(CORPUS)" ]; then echo "SKIPPED: samples beside Prometheus and VictoriaMetrics; make peers CORPUS=capture.jsonl.gz [SET=day|month]"; \
	  else $(SWIFT_BUILD) --product steward-bench && Tests/Peers/samples_against_peers.py $(or $(SET),day) --corpus $(CORPUS) \
	  --work $${TMPDIR:-/var/tmp}/steward-peers --bin $(shell $(SWIFT_BUILD) --show-bin-path); fi
