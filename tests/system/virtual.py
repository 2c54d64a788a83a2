"""A virtual machine for a test: the same Debian under its own kernel, for what a container cannot have.

It is emulated (no KVM, which a test machine in a cloud seldom has) and has neither disk nor network: the whole root is
in its memory. It runs one program and is gone; what that program prints comes back over a serial line.
"""

import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from . import roots
from .test_prometheus import install

MEMORY_MIB = 2048
# An emulated boot takes half a minute where nothing else is at work.
DEADLINE_SECONDS = 900.0

UNIT = """\
[Unit]
After=monitoring-agent.service
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /root/program.py
StandardOutput=tty
TTYPath=/dev/ttyS1
StandardError=journal+console
"""

# What no program needs, and would be kept in memory.
LEFT_OUT = ("./proc", "./sys", "./dev", "./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/man",
            "./usr/share/locale")  # fmt: skip


def run(layers: Sequence[Path], modules: Iterable[str], packages: Iterable[str], program: Path, scratch: Path) -> str:
    """What the program printed. `modules` are of the kernel, `packages` are at hand in the root and only unpacked."""
    with roots.locked("tools"):  # another process may install them now, and apt does not wait for another apt
        install("cpio", "qemu-system-x86")
    scratch.mkdir(mode=0o755)
    extra = scratch / "extra"
    for folder in ("etc/systemd/system/multi-user.target.wants", "root/modules", "proc", "sys", "dev"):
        (extra / folder).mkdir(parents=True)
    archives = layers[-1] / "var/cache/apt/archives"
    kernel = scratch / "kernel"
    unpack(archives, "linux-image-[0-9]*", kernel)
    for package in packages:
        unpack(archives, package, extra)
    for number, module in enumerate(in_order(kernel, modules)):
        (extra / f"root/modules/{number:02}").write_bytes(module)
    shutil.copy(program, extra / "root/program.py")
    (extra / "etc/systemd/system/program.service").write_text(UNIT, encoding="ascii")
    (extra / "etc/systemd/system/multi-user.target.wants/program.service").symlink_to("../program.service")
    initrd, out = scratch / "initrd", scratch / "out"
    pack(layers, extra, initrd)
    with (scratch / "console").open("wb") as console:
        subprocess.run(
            [
                "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MIB),
                "-nodefaults", "-display", "none", "-no-reboot",
                "-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd", str(initrd),
                "-append", "console=ttyS0 panic=-1 quiet rdinit=/lib/systemd/systemd",
                "-serial", "stdio", "-serial", f"file:{out}",
            ],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=True, timeout=DEADLINE_SECONDS,
        )  # fmt: skip
    sys.stdout.write((scratch / "console").read_text(errors="replace")[-5000:])  # pytest shows it should a test fail
    return out.read_text(encoding="utf-8")


def unpack(archives: Path, package: str, target: Path) -> None:
    """The files of a package, without installing it; /lib and the like are links in the root, which must stay."""
    subprocess.run(["dpkg-deb", "-x", next(archives.glob(f"{package}_*.deb")), target], check=True)
    for name in ("bin", "sbin", "lib"):
        if (target / name).is_dir():
            shutil.copytree(target / name, target / "usr" / name, dirs_exist_ok=True)
            shutil.rmtree(target / name)


def in_order(kernel: Path, names: Iterable[str]) -> Iterable[bytes]:
    """These modules, each after those that it depends on."""
    files = {path.name.partition(".ko")[0].replace("_", "-"): path for path in kernel.rglob("*.ko*")}
    done: set[str] = set()

    def needed(name: str) -> Iterable[bytes]:
        name = name.replace("_", "-")
        if name in done:
            return
        done.add(name)
        path = files[name]
        module = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
        (depends,) = re.findall(rb"\0depends=([^\0]*)\0", module)
        for other in depends.decode().split(",") if depends else ():
            yield from needed(other)
        yield module

    for name in names:
        yield from needed(name)


def pack(layers: Sequence[Path], extra: Path, initrd: Path) -> None:
    """One archive with the layers as the kernel would show them on top of each other, and one with what is added."""
    merged = extra.parent / "merged"
    merged.mkdir()
    pruned = " ".join(f"-path {path} -prune -o" for path in LEFT_OUT)
    script = f"""
        mount -t overlay overlay -o "lowerdir=$LAYERS" "$MERGED"
        (cd "$MERGED" && find . -xdev {pruned} -print | cpio -o -H newc --quiet) >"$INITRD"
        (cd "$EXTRA" && find . | cpio -o -H newc --quiet -R 0:0) >>"$INITRD"
    """
    environ = {**os.environ, "LAYERS": ":".join(map(str, layers)), "MERGED": str(merged), "EXTRA": str(extra)}
    subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-euc", script],
        check=True,
        env=environ | {"INITRD": str(initrd)},
    )
