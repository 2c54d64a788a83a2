"""The unit and integration tests on each release's own Python and libraries, not only on PyPI's newest."""

import pytest

from .conftest import CHECKOUT, Installation
from .machine import boot

# As somebody has it who just cloned: without the caches and the environment of the developer.
COPY = "tar -C /checkout -c --exclude='./.*' --exclude=__pycache__ --exclude=./var . | tar -C /source -x"


@pytest.mark.parametrize("suite", ["unit", "integration"])
def test_the_suite_passes_with_the_python_and_libraries_of_the_release(installation: Installation, suite: str) -> None:
    with boot(installation.layers, binds={CHECKOUT: "/checkout"}) as machine:
        machine.run("systemctl stop monitoring-agent && apt install -y python3-pytest-xdist python3-pyte")
        machine.run(f"mkdir /source && {COPY}")
        # What happens to disks and to a thousand agents at once is the same with any library.
        command = f"cd /source && python3 -m pytest -q -n 2 tests/{suite} --ignore=tests/integration/test_faults.py"
        ended = machine.attempt(command, timeout=1500)
    print(ended.stdout, ended.stderr)
    assert ended.returncode == 0, ended.stdout.splitlines()[-1:]
