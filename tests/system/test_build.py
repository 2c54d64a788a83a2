"""`make deb` and what it depends on: nothing but the source."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import CHECKOUT

SOURCE = ("debian", "etc", "monitoring_agent", "monitoring_supervisor", "pyproject.toml", "README.md", "setup.cfg")
REST = ("systemd", "tests")
SKIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info")
# Every build has its own folder, time, locale, time zone, umask, name of the user, home and order of the files.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEB_BUILD_OPTIONS": "nocheck"}
HERE = {"LC_ALL": "C", "TZ": "Pacific/Auckland", "HOME": "/nonexistent", "USER": "root"}
THERE = {"LC_ALL": "C.UTF-8", "TZ": "America/St_Johns", "HOME": "/tmp", "USER": "somebody", "LANGUAGE": "tr"}


def copy(target: Path, touched_at: int) -> Path:
    """The source in a folder of its own, where every file is of that time."""
    target.mkdir(parents=True)
    for name in SOURCE + REST:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=SKIPPED)
        else:
            shutil.copy(source, target / name)
    for path in target.rglob("*"):
        os.utime(path, (touched_at, touched_at), follow_symlinks=False)
    return target


# A unit test of its own, which shows that the build ran them.
WITNESS = """
from pathlib import Path

def test_it_was_run():
    Path({!r}).touch()
"""


def build(source: Path, umask: int, later: str, environ: dict[str, str]) -> bytes:
    """The package built there, as if it were so much later."""
    ended = subprocess.run(
        ["faketime", "-f", later, "dpkg-buildpackage", "-us", "-uc", "-b"],
        cwd=source,
        env=ENVIRONMENT | environ,
        umask=umask,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stdout.decode()
    (made,) = source.parent.glob("*.deb")
    return made.read_bytes()


@pytest.mark.usefixtures("deb")  # installs what a build needs
def test_two_builds_of_one_source_are_the_same_to_the_byte_wherever_and_whenever_they_are_made(tmp_path: Path) -> None:
    here = build(copy(tmp_path / "a/source", 946684800), 0o022, "+0", HERE)
    there = build(copy(tmp_path / "there/a-longer-name/of-a-folder", 2000000000), 0o077, "+400d", THERE)
    assert here == there


def test_make_deb_gives_the_same_bytes_as_a_build_by_hand(deb: Path, tmp_path: Path) -> None:
    assert build(copy(tmp_path / "by/hand", 1500000000), 0o027, "+1d", HERE) == deb.read_bytes()


def test_make_deb_in_a_new_copy_runs_the_unit_tests_and_gives_the_same_package(deb: Path, tmp_path: Path) -> None:
    """As everybody types it: the package that the other tests install is built without them, to save time."""
    source, witness = copy(tmp_path / "copy", 1700000000), tmp_path / "ran"
    shutil.copy(CHECKOUT / "Makefile", source)
    (source / "tests/unit/test_witness.py").write_text(WITNESS.format(str(witness)), encoding="ascii")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("DEB_BUILD")}
    ended = subprocess.run(
        ["make", "--no-print-directory", "deb"],
        cwd=source,
        env=environ,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stdout.decode()[-5000:]
    assert witness.exists(), "the unit tests were not run"
    assert (source / "dist/monitoring-agent.deb").read_bytes() == deb.read_bytes()
