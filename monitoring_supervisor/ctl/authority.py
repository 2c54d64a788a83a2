"""The fleet's private certificate authority: made with openssl on first use, its key readable by root alone."""

import errno
import ipaddress
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

AUTHORITY_DAYS = 7300  # twice as long as any certificate of it
TIMEOUT_SECONDS = 60.0

# Everything is said here, so that what the machine's own openssl.cnf says does not matter. Python 3.13 wants the
# identifiers, and the usage of the key (RFC 5280, 4.2.1).
_REQUEST = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {name}
[extensions]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
{extensions}
"""
_AUTHORITY = "basicConstraints = critical,CA:TRUE,pathlen:0\nkeyUsage = critical,keyCertSign,cRLSign"
_MACHINE = (
    "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n"
    "extendedKeyUsage = {purposes}\nsubjectAltName = {names}"
)
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
MAX_COMMON_NAME = 64  # RFC 5280, ub-common-name


class NotMade(Exception):
    """No certificate could be made; the text says why, and what to do."""


@dataclass(frozen=True)
class Identity:
    """What a machine shows others, and whom it trusts: its certificate, the key of it, and the authority. PEM."""

    cert: bytes
    key: bytes
    ca: bytes


class Authority:
    """The authority whose key and certificate lie in this directory, or will from the first `issue` on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def issue(self, names: Sequence[str], days: int, *, asks: bool) -> Identity:
        """A new key and certificate for a machine of these names and addresses; `asks` is for one with a supervisor.

        Nothing of it is kept here. Raises NotMade.
        """
        try:
            if not self._directory.exists():
                self._make()
            for name in ("ca.key", "ca.pem"):
                (self._directory / name).open("rb").close()  # else openssl would say it, in its own words
            ca = (self._directory / "ca.pem").read_bytes()
            with tempfile.TemporaryDirectory() as scratch:
                purposes = "serverAuth,clientAuth" if asks else "serverAuth"
                extensions = _MACHINE.format(purposes=purposes, names=",".join(map(_alternative, names)))
                signed = ("-CA", str(self._directory / "ca.pem"), "-CAkey", str(self._directory / "ca.key"))
                made = Path(scratch)
                _request(made, "made", names[0], extensions, days, signed)
                return Identity((made / "made.pem").read_bytes(), (made / "made.key").read_bytes(), ca)
        except OSError as error:
            remedy = "; use sudo" if isinstance(error, PermissionError) else ""
            raise NotMade(f"{error.filename or self._directory}: {error.strerror}{remedy}") from None

    def _make(self) -> None:
        """Renamed when complete: whoever interrupts it leaves no half an authority behind."""
        with tempfile.TemporaryDirectory(dir=self._directory.parent, prefix=".ca-") as scratch:
            made = Path(scratch) / "ca"
            made.mkdir(mode=0o700)
            _request(made, "ca", "monitoring", _AUTHORITY, AUTHORITY_DAYS)
            try:
                made.rename(self._directory)
            except OSError as error:
                # Whoever else enrolls for the first time just now may have been quicker.
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise


def _request(directory: Path, stem: str, name: str, extensions: str, days: int, signed: Sequence[str] = ()) -> None:
    """Have openssl make STEM.key and STEM.pem in this directory."""
    command = ["openssl", "req", "-x509", *_NEW_KEY, "-days", str(days), "-config", "/dev/stdin", *signed]
    command += ["-keyout", str(directory / f"{stem}.key"), "-out", str(directory / f"{stem}.pem")]
    text = _REQUEST.format(name=name[:MAX_COMMON_NAME], extensions=extensions)
    try:
        ended = subprocess.run(
            command, input=text.encode("ascii"), capture_output=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise NotMade("openssl is missing; as root: apt install openssl") from None
    except subprocess.TimeoutExpired:
        raise NotMade(f"openssl did not end within {TIMEOUT_SECONDS:g} seconds") from None
    if ended.returncode != 0:
        raise NotMade(f"openssl failed: {ended.stderr.decode('utf-8', 'replace').strip()}")
    os.chmod(directory / f"{stem}.key", 0o600)


def _alternative(name: str) -> str:
    """The name as subjectAltName wants it."""
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"
