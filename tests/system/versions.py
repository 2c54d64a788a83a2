"""Other versions of the package, made of this one: with another number, other settings delivered, other scripts."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

# What an older version had and, while it ran, wrote; kept here since a clone may know no older commit. It differs from
# today's in all that has changed since: history.db has no column `bytes` and compresses blocks in two parts always, the
# settings know nothing of TLS, the scripts (as debhelper completed them) make a token without an end of line.
OLDER = Path(__file__).parent / "older"


def version_of(deb: Path) -> str:
    """The version that a package says it has."""
    return subprocess.run(["dpkg-deb", "-f", deb, "Version"], capture_output=True, text=True, check=True).stdout.strip()


def script_of(deb: Path, name: str) -> str:
    """A maintainer script of a package, such as postinst."""
    return subprocess.run(["dpkg-deb", "-I", deb, name], capture_output=True, text=True, check=True).stdout


def variant(
    deb: Path, folder: Path, suffix: str, settings: str | None = None, scripts: Mapping[str, str] | None = None
) -> Path:
    """The same package with another version, and with these settings and maintainer scripts, by name, if there are."""
    tree = folder / f"tree{suffix}"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    said = f"\nVersion: {version_of(deb)}"
    control.write_text(control.read_text().replace(f"{said}\n", f"{said}{suffix}\n"))
    if settings is not None:
        (tree / "etc/monitoring/monitoring.env").write_text(settings)
    for name, text in (scripts or {}).items():
        (tree / "DEBIAN" / name).write_text(text)
    made = folder / f"monitoring-agent{suffix}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, made], check=True, capture_output=True)
    return made


def older(deb: Path, folder: Path) -> Path:
    """A version with the settings and scripts that an older one really had."""
    scripts = {name: (OLDER / name).read_text() for name in ("postinst", "prerm", "postrm")}
    return variant(deb, folder, "~older", (OLDER / "monitoring.env").read_text(), scripts)
