"""`monitoringctl enroll`: a certificate for a machine, and all else that it needs to be one of the fleet."""

import grp
import io
import os
import socket
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import click

from monitoring_agent.shared import keys
from monitoring_agent.shared.address import parse_address
from monitoring_agent.shared.env import BadSettings
from monitoring_supervisor.ctl import asking
from monitoring_supervisor.ctl.authority import Authority, Identity, NotMade
from monitoring_supervisor.ctl.places import Places
from monitoring_supervisor.ctl.text import safe

# As long as browsers ever accepted one; then it has to be made anew.
DAYS = 825
# By these names a machine that watches asks its own agent.
OWN_NAMES = ("localhost", "127.0.0.1", "::1")
# Only root and the group of the daemons read these, everybody the rest.
SECRET = {"tls/key.pem", "token"}


@click.command("enroll", short_help="Make a certificate for an agent's machine.")
@click.argument("names", nargs=-1, metavar="HOST [NAME]...")
@click.option("--here", is_flag=True, help="For this machine, which watches: put it in place beside the settings.")
@click.option("--supervisor", is_flag=True, help="For another machine that watches: with it one may ask agents.")
@click.option("--no-token", is_flag=True, help="Leave the token out of the archive.")
@click.option("--days", type=click.IntRange(1, 3650), default=DAYS, help=f"How long the certificate is good ({DAYS}).")
@click.pass_obj
def command(
    places: Places, names: tuple[str, ...], here: bool, supervisor: bool, no_token: bool, days: int
) -> None:
    """Make a certificate for the agent at HOST, and write an archive of what belongs beside its settings.

    \b
    monitoringctl enroll 10.0.0.5 | ssh root@10.0.0.5 tar -x -C /etc/monitoring

    HOST is the address or name by which the agent is asked, and each NAME another. The archive has tls/cert.pem,
    tls/key.pem, tls/ca.pem and this machine's token; it is as secret as they are, and nothing of it is kept here.

    The first call makes the fleet's own authority in the directory `ca` beside the settings. Whoever reads its key
    can pass for any machine.
    """
    directory = places.settings.absolute().parent
    hosts = [_host(name) for name in names]
    if here or supervisor:
        hosts += OWN_NAMES
    if here:
        with suppress(ValueError):  # a machine may call itself what no certificate can say
            hosts.insert(0, parse_address(socket.gethostname()).host)
    elif not names:
        raise click.UsageError("a HOST is missing, or --here for this machine")
    elif sys.stdout.isatty():
        there = f"monitoringctl enroll {' '.join(names)} | ssh root@{hosts[0]} tar -x -C {directory}"
        raise click.UsageError(f"this writes an archive with a key, and not to a terminal. Send it on:\n{there}")
    try:
        tokens = keys.read_tokens(keys.load(places.settings)["TOKEN_FILE"])
        identity = Authority(directory / "ca").issue(list(dict.fromkeys(hosts)), days, asks=here or supervisor)
        if here:
            _put_in_place(directory, _files(identity))
            made = ", ".join(dict.fromkeys(hosts))
            click.echo(f"{directory / 'tls'} has a certificate for {made}, its key, and the authority's certificate")
        else:
            token = "".join(f"{token}\n" for token in tokens).encode("ascii")
            sys.stdout.buffer.write(_archive(_files(identity) | ({} if no_token else {"token": token})))
            sys.stdout.buffer.flush()
    except BadSettings as error:
        asking.end_with_mistakes(error.mistakes)
    except NotMade as error:
        raise click.ClickException(safe(error)) from None
    except BrokenPipeError:
        raise click.ClickException("nobody takes the archive; did the command behind the pipe fail?") from None
    except OSError as error:
        remedy = "; use sudo" if isinstance(error, PermissionError) else ""
        raise click.ClickException(f"{safe(error.filename or 'the archive')}: {error.strerror}{remedy}") from None


def _host(name: str) -> str:
    try:
        host = parse_address(name).host
        if "%" in host:
            raise ValueError(f"{name!r} names an interface, which no certificate can")
    except ValueError as error:
        raise click.BadParameter(safe(error), param_hint="HOST") from None
    return host


def _files(identity: Identity) -> dict[str, bytes]:
    return {"tls/cert.pem": identity.cert, "tls/key.pem": identity.key, "tls/ca.pem": identity.ca}


def _archive(files: dict[str, bytes]) -> bytes:
    """A tar archive, for root to unpack beside the settings; tar finds owner and group by their names."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in {"tls": b"", **files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o640 if name in SECRET else 0o644
            member.uname, member.gname = "root", asking.GROUP if name in SECRET else "root"
            if name == "tls":
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _put_in_place(directory: Path, files: dict[str, bytes]) -> None:
    """Each file takes its name when it is complete. A daemon that reloads in between says that they do not match."""
    if not (directory / "tls").exists():
        (directory / "tls").mkdir()
        (directory / "tls").chmod(0o755)  # whatever the umask is: the daemons have to find it
    for name, content in files.items():
        path = directory / name
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(new, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(content)
            with suppress(KeyError):  # where the package is not installed there is no such group
                os.fchown(file.fileno(), -1, grp.getgrnam(asking.GROUP).gr_gid)
            os.fchmod(file.fileno(), 0o640 if name in SECRET else 0o644)
        new.rename(path)
