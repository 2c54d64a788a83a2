# Every command sets up what it needs: Debian packages where it is root, .venv otherwise.
#
#   make run     agent and supervisor in the foreground on 127.0.0.1, state in ./var; Ctrl-C ends both
#   make test    lint, types, unit, integration and (as root) system tests
#   make deb     dist/monitoring-agent.deb
#   make lint    ruff and mypy
#   make fuzz    bytes that nobody thought of for the parsers of both sides, a minute each; FUZZ="--seconds 600 reports"
#   make bench   what it costs, beside Prometheus and node_exporter
#   make clean   removes everything that the others made, ./var included

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.SUFFIXES:
.PHONY: run test lint fuzz bench deb clean

PACKAGED := debian etc monitoring_agent monitoring_supervisor pyproject.toml README.md setup.cfg systemd tests
# Waits for another apt, such as the one that installs security updates on a new machine.
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300
BUILD_ENVIRONMENT := PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent LC_ALL=C.UTF-8

# A shell function for the recipes: install these Debian packages where they are missing, or say who can.
define DEBIAN
debian() {
    local package missing=()
    for package in "$$@"; do
        [[ "$$(dpkg-query -W -f='$${db:Status-Status}' "$$package" 2>/dev/null)" == installed ]] || missing+=("$$package")
    done
    (($${#missing[@]})) || return 0
    if ((EUID != 0)); then
        echo "Missing Debian packages; as root: apt install $${missing[*]}" >&2
        return 1
    fi
    echo "Installing $${missing[*]} ..."
    $(APT) update
    $(APT) install "$${missing[@]}" >/dev/null
}
endef

run: .venv/.run
	mkdir -p var
	if [[ ! -s var/token ]]; then
	    (umask 077; head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >var/token)
	fi
	settings=etc/monitoring.env
	if [[ -e .env ]]; then settings=.env; fi
	# What the developer set, in the environment or in .env, counts; the rest must not need root.
	unset_everywhere() { [[ -z "$${!1+set}" ]] && ! grep -qs "^ *$$1=" .env; }
	if unset_everywhere TOKEN_FILE; then export TOKEN_FILE=$(CURDIR)/var/token; fi
	if unset_everywhere METRICS_FILE; then
	    export METRICS_FILE=$(CURDIR)/var/metrics_data.json
	    echo "State of the fleet: $$METRICS_FILE"
	fi
	if unset_everywhere HISTORY_FILE; then export HISTORY_FILE=$(CURDIR)/var/history.db; fi
	if unset_everywhere CONTROL_SOCKET; then export CONTROL_SOCKET=$(CURDIR)/var/supervisor.sock; fi
	# The same settings, with the places of this run, for monitoringctl in another terminal.
	{
	    cat "$$settings"
	    for key in TOKEN_FILE METRICS_FILE HISTORY_FILE CONTROL_SOCKET; do
	        [[ -z "$${!key+set}" ]] || echo "$$key=$${!key}"
	    done
	} >var/monitoring.env
	echo "Ask the supervisor: .venv/bin/monitoringctl --config var/monitoring.env status"
	echo "Settings: $$settings. Ctrl-C ends both daemons."
	# By pid and awaited: neither may outlive this command, whichever of the two ends first.
	daemons=()
	trap 'trap "" INT TERM HUP; kill "$${daemons[@]}" 2>/dev/null || true; wait || true' EXIT
	trap 'exit 0' INT TERM HUP
	.venv/bin/monitoring-agent --config "$$settings" & daemons+=($$!)
	.venv/bin/monitoring-supervisor --config "$$settings" & daemons+=($$!)
	# Awake once a second: a shell that waits for one of several children may sleep through a signal.
	while kill -0 "$${daemons[0]}" && kill -0 "$${daemons[1]}"; do sleep 1 & wait $$! || true; done 2>/dev/null
	for daemon in "$${daemons[@]}"; do kill -0 "$$daemon" 2>/dev/null || wait "$$daemon"; done

test: .venv/.test
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	suites=(tests/unit tests/fuzz tests/integration)
	if ((EUID == 0)); then
	    suites+=(tests/system)
	else
	    echo "Not root: the system tests, which boot real machines, are left out; sudo make test runs them."
	fi
	# Side by side: these tests wait more than they compute, but for machines that boot and build.
	exec .venv/bin/python -m pytest -n 3 --dist loadgroup "$${suites[@]}"

lint: .venv/.test
	.venv/bin/ruff check .
	.venv/bin/mypy

fuzz: .venv/.fuzz
	exec .venv/bin/python -m tests.fuzz $(FUZZ)

bench: .venv/.test
	exec .venv/bin/python -m tests.bench

# Built from a copy, so that two builds never meet in the checkout, and with an empty environment: pybuild
# takes the first python3 on PATH, which on a developer's machine may not be Debian's.
deb:
	$(DEBIAN)
	debian dpkg-dev
	if ! missing=$$(dpkg-checkbuilddeps 2>&1); then
	    if ((EUID != 0)); then
	        echo "$$missing" >&2
	        echo "As root: apt build-dep $(CURDIR)" >&2
	        exit 1
	    fi
	    echo "Installing what the build needs ..."
	    $(APT) update
	    $(APT) build-dep ./ >/dev/null
	fi
	work=$$(mktemp -d)
	trap 'rm -rf "$$work"' EXIT
	mkdir "$$work/source"
	tar -c --exclude=__pycache__ --exclude='*.egg-info' $(PACKAGED) | tar -x -C "$$work/source"
	(
	    cd "$$work/source"
	    env -i $(BUILD_ENVIRONMENT) DEB_BUILD_OPTIONS="$${DEB_BUILD_OPTIONS-}" DEB_BUILD_PROFILES="$${DEB_BUILD_PROFILES-}" \
	        dpkg-buildpackage -us -uc -b
	) >"$$work/log" 2>&1 || { cat "$$work/log" >&2; exit 1; }
	mkdir -p dist
	# Renamed when complete: whoever installs it meanwhile finds the old one or the new one.
	cp "$$work"/monitoring-agent_*_all.deb dist/.monitoring-agent.deb
	mv dist/.monitoring-agent.deb dist/monitoring-agent.deb
	echo dist/monitoring-agent.deb

clean:
	rm -rf .venv var dist build *.egg-info .mypy_cache .pytest_cache .ruff_cache .pybuild
	find . -name __pycache__ -prune -exec rm -rf {} +

# Debian's own Python first: another one on PATH may go away under the environment.
.venv/.made:
	$(DEBIAN)
	if ((EUID == 0)); then debian python3-venv; fi
	for python in /usr/bin/python3 python3; do
	    if "$$python" -c 'import ensurepip, sys; assert sys.version_info >= (3, 11)' 2>/dev/null; then
	        "$$python" -m venv --clear .venv
	        touch $@
	        exit 0
	    fi
	done
	echo "Python 3.11 with the module venv is missing; as root: apt install python3-venv" >&2
	exit 1

.venv/.run: .venv/.made setup.cfg pyproject.toml
	echo "Installing the daemons into .venv ..."
	.venv/bin/pip install -qq --disable-pip-version-check -e .
	touch $@

.venv/.test: .venv/.made setup.cfg pyproject.toml Makefile
	echo "Installing the daemons and the test tools into .venv ..."
	.venv/bin/pip install -qq --disable-pip-version-check -e '.[test]'
	touch .venv/.run $@

.venv/.fuzz: .venv/.test
	echo "Installing atheris into .venv ..."
	.venv/bin/pip install -qq --disable-pip-version-check atheris
	touch $@
