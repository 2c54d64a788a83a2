"""The README's commands for a second machine, copied to the letter, on one machine that has both addresses."""

import re

import pytest

from .conftest import CHECKOUT
from .machine import Machine
from .watching import about, supervise

AGENT, SUPERVISOR = "10.0.0.5", "10.0.0.2"


@pytest.fixture
def commands() -> str:
    """The block below the heading. What it does over ssh is done here, where both machines are one."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("### Watch a second machine")[2]
    block = re.search(r"```sh\n(.*?)```", text, re.S)
    assert block
    assert "ssh root@$AGENT" in block[1]
    # The token is the same file on both sides, and must not be emptied before it is read.
    local = block[1].replace("ssh root@$AGENT", "bash -c").replace('"cat > /etc/monitoring/token"', '"cat > /dev/null"')
    return f"set -eu\n{local}"


def test_a_second_machine_is_watched_after_the_commands_of_the_readme(own_machine: Machine, commands: str) -> None:
    supervise(own_machine)
    own_machine.run(
        f"ip address add {AGENT}/32 dev lo && ip address add {SUPERVISOR}/32 dev lo"
        # The supervisor's questions come from its own address, as they would from its own machine.
        f" && ip route replace local {AGENT}/32 dev lo table local src {SUPERVISOR}"
    )
    own_machine.run(commands)
    own_machine.wait_until(
        lambda: own_machine.attempt(f"grep -q {AGENT}:5000 /var/lib/monitoring/metrics_data.json").returncode == 0
        and about(own_machine, f"{AGENT}:5000")["state"] == "up",
        15,
        "the second machine is up",
    )
    own_machine.wait_until(lambda: about(own_machine, f"{AGENT}:5000")["report"], 10, "its metrics are collected")
    own_machine.wait_until(lambda: about(own_machine)["state"] == "up", 15, "its own agent is up after its restart")
