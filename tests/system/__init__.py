"""The package in real Debian machines: booted with systemd, without a network."""
