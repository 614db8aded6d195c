# `make run` and `make test` are all that a newcomer needs; the rest is for the test cluster.
PYTHON ?= python3
CACHE  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wirecheck
VENV   := $(CACHE)/venv-$(shell echo $(CURDIR) | cksum | cut -d' ' -f1)
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Compiled modules, and the tests as pytest rewrites them, belong in the cache. Otherwise every
# process compiles them again, if bytecode is not to be written into the tree.
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-slow test-bare test-bare-root lint types coverage matrix docs mutants fuzz cluster cluster-down check-cluster deploy helm sonobuoy man krew package lock release upgrade-gate readonly reliability faults networks in-flight referee policy-referee soak bench clean

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"  # knows --group
	$(BIN)/pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

# The current kubeconfig's cluster or, without one, the recorded one.
run: $(READY)
	@if [ -n "$$KUBECONFIG" ] || [ -e "$$HOME/.kube/config" ]; \
	  then $(BIN)/wirecheck run; \
	  else echo "No kubeconfig: this judges a recorded cluster with several faults."; $(BIN)/wirecheck demo; fi

# Three workers for two cores: many tests wait for a program or a time limit.
test: $(READY)
	$(BIN)/pytest tests -m "not slow" -n 3 --dist worksteal

# Large inputs and long samples.
test-slow: $(READY)
	$(BIN)/pytest tests -m slow -n 2 --dist worksteal

# As on a machine with Python and make alone: other tools are hidden, and the user is not root.
test-bare: $(READY)
	$(BIN)/python -m tests.bare

# As root who can make network namespaces, but has no other tools.
test-bare-root: $(READY)
	$(BIN)/python -m tests.bare --root $(BIN)/pytest tests/collect/on_node -n 2 --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Lines and branches, by test; the pages are in the cache.
coverage: $(READY)
	COVERAGE_FILE=$(CACHE)/coverage/data $(BIN)/pytest tests -n 2 --dist worksteal \
	  --cov --cov-context=test --cov-report=term --cov-report=html:$(CACHE)/coverage/html
	@echo "$(CACHE)/coverage/html/index.html"

# The tests on every supported Python. MATRIX="--python 3.12 tests/parse": some of them.
matrix: $(READY)
	$(BIN)/python -m testbed.matrix $(MATRIX)

# Mutants of our own code, and the tests that notice them; takes up to three hours.
# MUTANTS="--seed 1 --count 300": resumed where it ended while no source changes.
mutants: $(READY)
	$(BIN)/python -m testbed.mutants $(MUTANTS)

# A million hostile texts for each reader of what nodes, pods and the API send; takes hours.
# FUZZ="--inputs 10000 iptables nftables": fewer, for some of them.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(FUZZ)

# The documentation site. A broken link is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict --site-dir $(CACHE)/site
	@echo "$(CACHE)/site/index.html"

# PROXY_MODE=iptables|nftables, VM=1 for the virtual machine node, DUAL=1 for both IP families,
# NETWORK=flannel|flannel-host-gw|flannel-nftables|kind|kube-router|cilium|cilium-kube-proxy,
# LAYOUT=k3s for nodes whose files and processes are arranged as in k3s.
cluster: $(READY)
	$(BIN)/python -m testbed up --proxy-mode $(or $(PROXY_MODE),iptables) $(if $(VM),--vm) \
	  $(if $(DUAL),--dual-stack) --network $(or $(NETWORK),flannel) --layout $(or $(LAYOUT),kubeadm)

cluster-down: $(READY)
	$(BIN)/python -m testbed down

# Every way in, and both ways to run: each must end with status 0.
check-cluster: $(READY)
	$(BIN)/wirecheck doctor --inventory $(CACHE)/testbed/inventory.yaml
	$(BIN)/wirecheck run --inventory $(CACHE)/testbed/inventory.yaml --report-dir $(CACHE)/reports
	$(BIN)/wirecheck run --inventory $(CACHE)/testbed/inventory-ssh.yaml --profile cron --report-dir $(CACHE)/reports
	$(BIN)/wirecheck run --inventory $(CACHE)/testbed/inventory-sudo.yaml --report-dir $(CACHE)/reports
	$(BIN)/pytest --inventory $(CACHE)/testbed/inventory.yaml --report-dir $(CACHE)/reports \
	  --html=$(CACHE)/reports/pytest.html --junitxml=$(CACHE)/reports/pytest.xml
	$(BIN)/python -m testbed.mixed
	$(BIN)/python -m testbed.documented

# A run changes nothing on the nodes and only reads the API; and the proof of it can fail.
readonly: $(READY)
	$(BIN)/python -m testbed.readonly
	$(BIN)/python -m testbed.readonly --disturb

# Upgrades kube-proxy and CoreDNS for real, between the two runs of the gate in ci/.
upgrade-gate: $(READY)
	$(BIN)/python -m testbed.upgrade

# RELIABILITY="NAME …": some of the faults in the looking; `--list` names them.
reliability: $(READY)
	$(BIN)/python -m testbed.reliability $(RELIABILITY)

# The image, and everything in deploy/, on the test cluster.
deploy: $(READY)
	$(BIN)/python -m testbed.deploy

# Builds Helm for the tests of deploy/chart, and prints the folder to add to PATH.
helm: $(READY)
	@$(BIN)/python -m testbed.deploy.chart

# deploy/sonobuoy by a real Sonobuoy, which is built first.
sonobuoy: $(READY)
	$(BIN)/python -m testbed.deploy.sonobuoy

# The manual pages in man/, from the help of the commands.
man: $(READY)
	$(BIN)/python -m testbed.man_pages

# The archives of the kubectl plugin and its manifest for krew, in the cache.
krew: $(READY)
	$(BIN)/python -m testbed.krew $(CACHE)/krew

# The built wheel, alone in an empty environment, and installed by pipx, uv and krew.
package: $(READY)
	$(BIN)/python -m testbed.package

# Every dependency of the image and of a release, with hashes. LOCK="--upgrade": the newest ones.
lock: $(READY)
	$(BIN)/python -m testbed.release.lock $(LOCK)

# Every file of the release that this commit's tag names, into the cache. RELEASE="--rehearse":
# everything except what a release would refuse.
release: $(READY)
	$(BIN)/python -m testbed.release $(RELEASE)

faults: $(READY)
	$(BIN)/python -m testbed.faults $(FAULTS)

# Each pod network as a cluster of its own, and kube-router with LAYOUT=k3s as well.
# NETWORKS="kind kube-router": some of them; with LAYOUT=k3s in that layout.
networks: $(READY)
	$(BIN)/python -m testbed.networks --layout $(or $(LAYOUT),kubeadm) --markdown docs/networks.md \
	  $(NETWORKS)

# REFEREE="--short" is what CI runs.
referee: $(READY)
	$(BIN)/python -m testbed.referee $(REFEREE)

# POLICY_REFEREE="--oracle cyclonus --clusters 1000 --seed 7": another program on random NetworkPolicies.
policy-referee: $(READY)
	$(BIN)/python -m testbed.policy_referee $(POLICY_REFEREE)

# IN_FLIGHT="--changes 20 --seed 7": fewer changes, and the same ones again.
in-flight: $(READY)
	$(BIN)/python -m testbed.in_flight $(IN_FLIGHT)

soak: $(READY)
	$(BIN)/python -m testbed.soak

bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV)
