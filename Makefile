# Everything runs on the Node that npm brings; any Node from 20 on is enough to get there.
SHELL := /bin/sh
ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
# Any Node >= 26.9 may be packed: make build NODE=/path/to/node
NODE ?= node_modules/node-linux-$(ARCH)/bin/node
RUN := $(NODE) --disable-warning=ExperimentalWarning
SOURCES := $(shell find main.ts plugins ipam vf shared agent cli install packaging -name '*.ts' -o -name '*.cjs') launcher/launcher.c package-lock.json

NEED_GCC := gcc=gcc libc6-dev=/usr/include/stdio.h

.PHONY: help demo build image arm check test test-kubernetes lab bench docs clean

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

demo: dist/cni/berth ## attach two pods, ping, detach, show that nothing is left (root)
	@scripts/need.sh iproute2=ip iputils-ping=ping
	@$(RUN) scripts/demo.ts

build: dist/cni/berth ## dist/cni: the packaged program, and the launcher under the plugins' names (root)

image: dist/cni/berth ## dist/image: the root file system of the container image, which install/Dockerfile copies
	@$(RUN) packaging/image.ts

arm: node_modules/.ready ## dist/arm64/cni: the launcher for arm64, compiled across
	@scripts/need.sh gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc
	@$(RUN) packaging/launcher.ts arm64

check: node_modules/.ready ## the quick gate: types, lint, house rules, unit tests
	@scripts/need.sh $(NEED_GCC)
	$(NODE) node_modules/.bin/tsc -p .
	node_modules/.bin/biome check --error-on-warnings
	$(RUN) node_modules/.bin/vitest run --project quick

test: dist/cni/berth check ## everything: the gate, then the packaged program on the real kernel (root)
	@scripts/need.sh iproute2=ip iputils-ping=ping strace=strace libcap2-bin=capsh golang-go=/usr/lib/go golang-github-appc-cni-dev=/usr/share/gocode/src/github.com/containernetworking/cni containernetworking-plugins=/usr/lib/cni/macvlan
	$(RUN) node_modules/.bin/vitest run --project thorough --project agent
	@$(if $(filter x64,$(ARCH)),$(MAKE) --no-print-directory lab,echo "The lab's tests were left out: its VM needs the programs of an x86-64 machine")

lab: dist/cni/berth ## what this machine's kernel lacks (SR-IOV, VLAN, vfio): the packaged program in a VM, see test/lab (root)
	@scripts/need.sh iproute2=ip iputils-ping=ping genisoimage=genisoimage dosfstools=mkfs.vfat mtools=mcopy
	@$(RUN) test/lab/main.ts --tests $(LAB)

test-kubernetes: image ## under real Multus and a real API server, built from Go modules (root, Go 1.25 or newer; minutes the first time)
	@scripts/need.sh iproute2=ip iputils-ping=ping openssl=openssl containernetworking-plugins=/usr/lib/cni/bridge
	@$(RUN) test/kubernetes/build.ts
	$(RUN) node_modules/.bin/vitest run --project kubernetes

bench: dist/cni/berth ## ADD and DEL beside the reference plugins, in one interleaved run (root)
	@scripts/need.sh iproute2=ip containernetworking-plugins=/usr/lib/cni/macvlan $(NEED_GCC) linux-libc-dev=/usr/include/linux/rtnetlink.h
	@$(RUN) bench/main.ts

docs: node_modules/.ready ## write the README's tables: keys and errors from the source, figures from the last bench
	@$(RUN) scripts/tables.ts --write

clean: ## remove what was built and installed here
	rm -rf dist node_modules

# npm ci refuses a lockfile without the packages of other platforms, which not every registry has; npm install does not,
# and takes the versions and checksums of the lockfile all the same. No dependency's install script is run (.npmrc).
node_modules/.ready: package.json package-lock.json .npmrc
	@scripts/need.sh libatomic1=/usr/lib/$(shell uname -m)-linux-gnu/libatomic.so.1 libstdc++6=/usr/lib/$(shell uname -m)-linux-gnu/libstdc++.so.6
	npm install --no-save --loglevel=error
	@touch $@

dist/cni/berth: node_modules/.ready $(SOURCES)
	@scripts/need.sh iproute2=ip binutils=strip gcc=gcc
	@$(RUN) packaging/build.ts
