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
# Every build has its own folder, time, locale, time zone, umask, name of the user, home and order of the files. In
# Turkish the small letter of I is not i, and letters are sorted otherwise.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEB_BUILD_OPTIONS": "nocheck"}
HERE = {"LC_ALL": "C", "TZ": "Pacific/Auckland", "HOME": "/nonexistent", "USER": "root"}
TURKISH = "tr_TR.UTF-8"
THERE = {"LC_ALL": TURKISH, "TZ": "America/St_Johns", "HOME": "/tmp", "USER": "somebody", "LANGUAGE": "tr"}

# In a tmpfs, which lists files in the reverse of the order in which they came: `sort` is told that order. The mount is
# gone with the mount namespace.
BUILD = """
mount -t tmpfs -o mode=0755 tmpfs "$1/build"
mkdir "$1/build/source"
(cd "$1/source" && find . -mindepth 1 | LC_ALL=C sort $2 | tar -c --no-recursion -T -) | tar -x -p -C "$1/build/source"
ls -U "$1/build/source/monitoring_agent" >"$1/order"
cd "$1/build/source"
faketime -f "$3" dpkg-buildpackage -us -uc -b
cp ../*.deb "$1"
"""


def copy(folder: Path, touched_at: int, umask: int = 0) -> Path:
    """The folder with the source in it, as a checkout with this umask has it, where every file is of that time."""
    target = folder / "source"
    target.mkdir(parents=True)
    for name in SOURCE + REST:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=SKIPPED)
        else:
            shutil.copy(source, target / name)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~umask)
        os.utime(path, (touched_at, touched_at), follow_symlinks=False)
    return folder


# A unit test of its own, which shows that the build ran them.
WITNESS = """
from pathlib import Path

def test_it_was_run():
    Path({!r}).touch()
"""


def build(folder: Path, umask: int, later: str, environ: dict[str, str], order: str = "") -> bytes:
    """The package built of the source in this folder, as if it were so much later."""
    (folder / "build").mkdir()
    ended = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-euc", BUILD, "sh", folder, order, later],
        env=ENVIRONMENT | environ,
        umask=umask,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0, ended.stdout.decode()
    (made,) = folder.glob("*.deb")
    return made.read_bytes()


@pytest.fixture
def locpath(tmp_path: Path) -> dict[str, str]:
    """The environment in which there is Turkish, which a small machine does not have."""
    folder = tmp_path / "locales"
    folder.mkdir()
    subprocess.run(["localedef", "-i", TURKISH.partition(".")[0], "-f", "UTF-8", str(folder / TURKISH)], check=True)
    return {"LOCPATH": str(folder)}


@pytest.mark.usefixtures("deb")  # installs what a build needs
def test_two_builds_of_one_source_are_the_same_to_the_byte_wherever_and_whenever_they_are_made(
    tmp_path: Path, locpath: dict[str, str]
) -> None:
    first, second = copy(tmp_path / "a", 946684800), copy(tmp_path / "there/a-longer-name", 2000000000, 0o077)
    here = build(first, 0o022, "+0", HERE)
    there = build(second, 0o077, "+400d", THERE | locpath, "-r")
    assert here == there
    upper = subprocess.run(["bash", "-c", "I=i; echo ${I^}"], env=THERE | locpath, capture_output=True, check=True)
    assert upper.stdout.decode() == "İ\n"
    assert (first / "order").read_text() != (second / "order").read_text()


def test_make_deb_gives_the_same_bytes_as_a_build_by_hand(deb: Path, tmp_path: Path) -> None:
    assert build(copy(tmp_path / "by-hand", 1500000000), 0o027, "+1d", HERE) == deb.read_bytes()


def test_make_deb_in_a_new_copy_runs_the_unit_tests_and_gives_the_same_package(deb: Path, tmp_path: Path) -> None:
    """As everybody types it: the package that the other tests install is built without them, to save time."""
    source, witness = copy(tmp_path / "copy", 1700000000) / "source", tmp_path / "ran"
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
