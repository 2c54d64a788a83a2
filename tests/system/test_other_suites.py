"""The tests that need no machine, on each release's own Python and libraries, not only on PyPI's newest."""

import pytest

from .conftest import CHECKOUT, Installation
from .machine import boot

# As somebody has it who just cloned: without the caches and the environment of the developer.
COPY = "tar -C /checkout -c --exclude='./.*' --exclude=__pycache__ --exclude=./var . | tar -C /source -x"


# Of what happens to disks and to a thousand agents at once, and of what is ours alone to read, libraries know nothing.
SUITES = {
    "unit": "",
    "integration": "--ignore=tests/integration/test_faults.py",
    "fuzz": "-k 'requests or repetitions or queries or handshakes or certificates or answers'",
}


@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_passes_with_the_python_and_libraries_of_the_release(installation: Installation, suite: str) -> None:
    with boot(installation.layers, binds={CHECKOUT: "/checkout"}) as machine:
        tools = "python3-pytest-xdist python3-hypothesis python3-pyte"
        machine.run(f"systemctl stop monitoring-agent && apt install -y {tools}")
        machine.run(f"mkdir /source && {COPY}")
        command = f"cd /source && python3 -m pytest -q -n 2 tests/{suite} {SUITES[suite]}"
        ended = machine.attempt(command, timeout=1500)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0, ended.stdout.splitlines()[-1:]
