"""Other versions of the package, made of this one: with another number, and other settings delivered."""

import subprocess
from pathlib import Path


def version_of(deb: Path) -> str:
    """The version that a package says it has."""
    return subprocess.run(["dpkg-deb", "-f", deb, "Version"], capture_output=True, text=True, check=True).stdout.strip()


def variant(deb: Path, folder: Path, suffix: str, settings: str | None = None) -> Path:
    """The same package with another version, and with `settings` as its monitoring.env if there are any."""
    tree = folder / f"tree{suffix}"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    said = f"\nVersion: {version_of(deb)}"
    control.write_text(control.read_text().replace(f"{said}\n", f"{said}{suffix}\n"))
    if settings is not None:
        (tree / "etc/monitoring/monitoring.env").write_text(settings)
    made = folder / f"monitoring-agent{suffix}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, made], check=True, capture_output=True)
    return made
