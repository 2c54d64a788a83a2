"""Memory that is given back is no longer there, and nothing breaks for it."""

import subprocess
import sys

import pytest

from monitoring_agent.allocator import as_in_their_files
from tests.unit.test_architecture import ROOT

# Much is imported, as when the agent starts; and of all that is in it something runs afterwards.
CODE = """
import ctypes, decimal, hashlib, json, socket, sqlite3, ssl, zlib
from monitoring_agent import allocator

def files_kib():
    rollup = dict(line.split()[:2] for line in open("/proc/self/smaps_rollup").readlines()[1:])
    return int(rollup["Rss:"]) - int(rollup["Anonymous:"])

def use():
    ssl.create_default_context()
    hashlib.sha256(b"x").hexdigest()
    sqlite3.connect(":memory:").execute("SELECT 1").fetchone()
    zlib.decompress(zlib.compress(b"x"))
    json.loads(json.dumps({"x": [1.5, None]}))
    decimal.Decimal(2).sqrt()
    socket.getaddrinfo("127.0.0.1", 1)

use()
before = files_kib()
allocator.let_go_of_files()
after = files_kib()
use()
print(before, after)
"""


def test_the_pages_of_files_that_only_the_start_needed_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or f"ended by signal {-done.returncode}"
    before, after = map(int, done.stdout.split())
    assert after < before * 0.7


def mapping(permissions: str, name: str, anonymous: int = 0, swap: int = 0) -> list[str]:
    return [
        f"7f0000001000-7f0000003000 {permissions} 00002000 fe:00 26933  {name}\n",
        "Rss:                   8 kB\n",
        f"Anonymous:             {anonymous} kB\n",
        f"Swap:                  {swap} kB\n",
        "THPeligible:           0\n",
        "VmFlags: rd mr mw me sd\n",
    ]


@pytest.mark.parametrize("permissions", ["r-xp", "r--p"])
def test_what_is_as_in_its_file_can_be_given_back(permissions: str) -> None:
    assert as_in_their_files(mapping(permissions, "/usr/lib/x.so")) == [(0x7F0000001000, 0x7F0000003000)]


@pytest.mark.parametrize(
    "about",
    [
        mapping("rw-p", "/usr/lib/x.so"),
        mapping("r--s", "/dev/shm/x"),
        mapping("r--p", "", anonymous=8),
        mapping("r-xp", "[vdso]"),
        mapping("r--p", "/usr/lib/x.so", anonymous=4),
        mapping("r--p", "/usr/lib/x.so", swap=4),
    ],
    ids=["writable", "shared", "no file", "the kernel's", "written", "written and swapped out"],
)
def test_what_is_not_as_in_a_file_cannot(about: list[str]) -> None:
    after = mapping("r-xp", "/usr/lib/y.so")
    assert as_in_their_files([*about, *after, *about]) == as_in_their_files(after)
