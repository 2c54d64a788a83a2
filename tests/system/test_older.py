"""What an older version left is taken over by this one, and what this one cannot read is set aside."""

import json
import sqlite3
from pathlib import Path

import pytest

from .machine import Machine
from .versions import OLDER, older, variant
from .watching import AGENT, DAEMONS, SETTINGS, STATE, about, ask, state

CURRENT, NEXT, PREVIOUS = "/root/monitoring-agent.deb", "/root/next.deb", "/root/older.deb"
HISTORY, LIFE = "/var/lib/monitoring/history.db", "/var/lib/monitoring-agent/life.json"
GONE = "127.0.0.1:5001"
# Kept for ten years: the older state has the time at which it was written.
OWN_SETTINGS = f"WHITELIST_AGENT=127.0.0.1,{GONE}\nHISTORY_REPORTS_HOURS=87600\nHISTORY_HOURS_DAYS=3650\n"
EVER = "--since 3650d"
KEEP_MINE = "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
WAS = json.loads((OLDER / "metrics_data.json").read_text())
LINES = {AGENT: 18, GONE: 3}  # reports in the older history


def lay(machine: Machine, source: Path, target: str, owner: str) -> None:
    machine.copy_in(source, target)
    machine.run(f"chown {owner}:_monitoring {target} && chmod 0640 {target}")


@pytest.fixture(scope="module")
def upgraded(machine: Machine, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which an older version watched, with settings of the administrator's, and which is upgraded then."""
    folder = tmp_path_factory.mktemp("older")
    machine.run("apt purge -y monitoring-agent")
    machine.copy_in(older(deb, folder), PREVIOUS)
    machine.copy_in(variant(deb, folder, "+next"), NEXT)
    machine.run(f"apt install -y {PREVIOUS}")
    assert machine.run("wc -c </etc/monitoring/token") == "64"  # as its scripts made it
    machine.run(f"cat >>{SETTINGS}", stdin=OWN_SETTINGS.encode())
    machine.run(f"systemctl stop {DAEMONS[0]} && systemctl enable {DAEMONS[1]}")
    database = folder / "history.db"
    with sqlite3.connect(database) as connection:
        connection.executescript((OLDER / "history.sql").read_text())
    connection.close()
    lay(machine, database, HISTORY, "_monitoring-supervisor")
    lay(machine, OLDER / "metrics_data.json", STATE, "_monitoring-supervisor")
    lay(machine, OLDER / "life.json", LIFE, "_monitoring-agent")
    machine.run(f"apt install -y {KEEP_MINE} {CURRENT}")
    machine.wait_until(lambda: about(machine)["last_health"] != WAS["agents"][AGENT]["last_health"], 20, "it is asked")
    machine.wait_until(lambda: state(machine) == "up", 20, "the agent is up")
    return machine


def test_settings_and_token_of_an_older_version_are_still_good_and_stay(upgraded: Machine) -> None:
    assert upgraded.run(f"cat {SETTINGS}") == ((OLDER / "monitoring.env").read_text() + OWN_SETTINGS).strip()
    assert "TLS_CERT" in upgraded.run(f"cat {SETTINGS}.dpkg-dist")
    assert upgraded.run("wc -c </etc/monitoring/token") == "64"
    assert ask(upgraded, "/getmetrics", token=True)[0] == 200
    upgraded.run("monitoringctl check-config")


def test_what_the_supervisor_thought_of_who_was_down_is_taken_over(upgraded: Machine) -> None:
    now, before = about(upgraded, GONE), WAS["agents"][GONE]
    for key in ("state", "listing", "since", "last_health", "report"):
        assert now[key] == before[key]
    assert now["failure"]["since"] == before["failure"]["since"]


def test_the_agent_tells_how_its_life_under_the_older_version_ended(upgraded: Machine) -> None:
    previous = json.loads(ask(upgraded, "/healthcheck", token=True)[1])["previous"]
    was = json.loads((OLDER / "life.json").read_text())
    assert previous == {"end": was["end"], "ended_at": was["ended_at"]}


def test_history_of_an_older_version_is_read_and_goes_on(upgraded: Machine) -> None:
    for agent, count in LINES.items():
        until = WAS["written_at"] + 1
        lines = [json.loads(line) for line in upgraded.run(f"monitoringctl export {EVER} {agent}").splitlines()]
        reports = [line["report"] for line in lines if line["at"] < until]
        assert len(reports) == count
        assert reports[-1] == WAS["agents"][agent]["report"]

    told = json.loads(upgraded.run(f"monitoringctl history {EVER} {GONE} --events --json"))
    (down,) = [event for event in told["events"] if event["state"] == "down"]
    assert down["at"] == WAS["agents"][GONE]["since"]

    def newest() -> bool:
        last = upgraded.run(f"monitoringctl export --since 1m {AGENT} | tail -n 1")
        return bool(last) and json.loads(last)["at"] > WAS["written_at"]

    upgraded.wait_until(newest, 30, "new reports stand behind the old ones")


def test_nothing_that_can_be_read_is_set_aside(upgraded: Machine) -> None:
    assert "damaged" not in upgraded.run("ls /var/lib/monitoring")
    assert [line for line in upgraded.journal(DAEMONS[1]) if "damaged" in line] == []


def test_a_downgrade_sets_aside_what_a_newer_version_wrote_and_says_so(upgraded: Machine) -> None:
    upgraded.run(f"apt install -y {NEXT} && systemctl stop {DAEMONS[1]}")
    upgraded.run(f"sed -i 's/\"schema\":1/\"schema\":2/' {STATE}")
    number = f"import sqlite3; sqlite3.connect('{HISTORY}').execute('PRAGMA user_version = 2')"
    upgraded.run(f'python3 -c "{number}"')
    sums = upgraded.run("cd /var/lib/monitoring && md5sum history.db metrics_data.json").split()
    upgraded.run(f"apt install -y --allow-downgrades {CURRENT}")
    upgraded.wait_until(lambda: state(upgraded) == "up", 20, "the agent is watched again")
    aside = upgraded.run("cd /var/lib/monitoring && md5sum *.damaged-*Z").split()
    assert aside[::2] == sums[::2]
    said = [line for line in upgraded.journal(DAEMONS[1]) if "it is kept as" in line]
    assert len(said) == 2
    assert any("history.db is damaged (it has format 2, not 1)" in line for line in said)
    assert any("metrics_data.json is damaged (schema 2 is not 1)" in line for line in said)
    upgraded.wait_until(lambda: upgraded.attempt(f"monitoringctl export {AGENT}").stdout, 30, "history begins anew")
