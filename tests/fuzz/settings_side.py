"""What an administrator writes: settings, tokens, whitelists. Each function raises on a mistake of ours."""

import atexit
import contextlib
import functools
import ipaddress
import ssl
import tempfile
from pathlib import Path

from monitoring_agent.access import Access
from monitoring_agent.shared import address, certificate, keys
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor import targets

MAX_NETWORK_BITS = 10  # larger ones are only longer


@functools.cache
def _file() -> Path:
    directory = tempfile.TemporaryDirectory(prefix="fuzz-")
    atexit.register(directory.cleanup)
    path = Path(directory.name) / "file"
    path.touch(0o600)
    return path


def settings(data: bytes) -> None:
    """A settings file: every key has a value, or there are mistakes, each on one line."""
    _file().write_bytes(data)
    try:
        values = keys.load(_file(), {})
    except BadSettings as error:
        assert error.mistakes
        assert not [mistake for mistake in error.mistakes if "\n" in mistake]
    else:
        assert set(values) == {key.name for key in keys.KEYS}


def tokens(data: bytes) -> None:
    """A token file: what is taken from it can be sent in a header, and be known again."""
    _file().write_bytes(data)
    try:
        found = keys.read_tokens(_file())
    except BadSettings:
        return
    access = Access((), found)
    for token in found:
        assert token.encode("ascii").isalnum() or token.isprintable()
        assert access.has_token(f"Bearer {token}")
        assert not access.has_token(f"Bearer {token} ")


def whitelist(data: bytes) -> None:
    """A whitelist file: each agent's name leads to it again, and steers no terminal."""
    _file().write_bytes(data)
    if any(_is_large(word) for line in data.decode("utf-8", "replace").split("\n") for word in line.split()[:1]):
        return
    try:
        found = targets.all_targets((), str(_file()), 5000)
    except BadSettings:
        return
    for name, target in found.items():
        assert name.isascii()
        assert name.isprintable()
        again = address.parse_address(name)
        assert (again.host, again.port) == (target.host, target.port)


def addresses(data: bytes) -> None:
    """How people write addresses, and how clients are told from each other."""
    text = data.decode("utf-8", "replace")
    for parse in (address.parse_address, address.parse_listen, address.parse_network):
        with contextlib.suppress(ValueError):
            parse(text)
    if not _is_large(text):
        with contextlib.suppress(ValueError):
            address.expand(text)
    access = Access((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")), ("0123456789abcdef",))
    access.allows(text)
    assert not access.has_token(text) or text == "Bearer 0123456789abcdef"


def certificates(data: bytes) -> None:
    """A certificate of this machine, or what stands in its file: it ends some day, or that is unknown."""
    for pem in (ssl.DER_cert_to_PEM_cert(data), data.decode("ascii", "replace")):
        ends_at = certificate.ends_at(pem)
        assert ends_at is None or certificate.stage(ends_at, 0.0) in range(4)


def _is_large(text: str) -> bool:
    try:
        return bool(address.parse_network(text).num_addresses > 2**MAX_NETWORK_BITS)
    except ValueError:
        return False
