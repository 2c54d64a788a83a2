"""Certificates that end soon."""

import ssl
import subprocess
import time
from pathlib import Path

import pytest

from monitoring_agent.shared import certificate
from monitoring_agent.shared.certificate import DAY_SECONDS
from monitoring_supervisor.certificates import Certificates

NOW = 1_795_000_000.0


def on(ends_at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(ends_at))


def test_a_certificate_that_ends_soon_is_told_a_month_a_week_and_a_day_before_and_not_in_between() -> None:
    certificates, ends_at = Certificates(), NOW + 100 * DAY_SECONDS
    told = [left for left in range(100, -2, -1) if certificates.look({"a:1": ends_at}, ends_at - left * DAY_SECONDS)]
    assert told == [30, 7, 1]


def test_the_line_says_whose_and_when_and_what_to_do() -> None:
    ends_at = NOW + 3 * DAY_SECONDS
    assert Certificates().look({"a:1": ends_at, "b:1": NOW + 99 * DAY_SECONDS}, NOW) == (
        f"the certificate of a:1 ends on {on(ends_at)}; make new ones with monitoringctl enroll"
    )


def test_many_that_end_together_are_one_line_with_the_earliest_first() -> None:
    ends = {f"{name}:1": NOW + days * DAY_SECONDS for name, days in zip("abcde", (9, 8, 3, 9, 9), strict=True)}
    line = Certificates().look(ends, NOW)
    assert line is not None
    assert line.startswith(f"the certificates of c:1, b:1, a:1 and 2 more end on {on(ends['c:1'])} or soon after;")


def test_a_new_certificate_is_told_anew_when_its_time_comes_and_one_that_is_gone_is_forgotten() -> None:
    certificates = Certificates()
    assert certificates.look({"a:1": NOW + DAY_SECONDS}, NOW)
    assert certificates.look({"a:1": NOW + 800 * DAY_SECONDS}, NOW) is None
    assert certificates.look({"a:1": NOW + 800 * DAY_SECONDS}, NOW + 790 * DAY_SECONDS)
    assert certificates.look({}, NOW) is None
    assert certificates.look({"a:1": NOW + DAY_SECONDS}, NOW)


@pytest.mark.parametrize("ends", [{}, {"a:1": NOW + 31 * DAY_SECONDS}])
def test_nothing_is_said_while_all_is_well(ends: dict[str, float]) -> None:
    assert Certificates().look(ends, NOW) is None


def made(place: Path, *options: str) -> str:
    """A certificate in PEM form."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"]
    command = ["openssl", "req", "-x509", *key, "-subj", "/O=a fleet/CN=web-1", "-out", str(place), *options]
    subprocess.run(command, check=True, capture_output=True)
    return place.read_text(encoding="ascii")


@pytest.mark.parametrize("days", [1, 825, 20_000])  # the last one ends after 2049, which is written in another way
def test_the_end_of_one_s_own_certificate_is_read_as_openssl_reads_it(tmp_path: Path, days: int) -> None:
    pem = made(tmp_path / "cert.pem", "-days", str(days), "-addext", "subjectAltName=DNS:web-1.example.org")
    command = ["openssl", "x509", "-noout", "-enddate", "-in", str(tmp_path / "cert.pem")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert certificate.ends_at(pem) == ssl.cert_time_to_seconds(said.partition("=")[2].strip())


def test_of_several_certificates_it_is_the_first_whose_end_counts_and_text_around_it_does_not(tmp_path: Path) -> None:
    first, second = (made(tmp_path / f"{days}.pem", "-days", days) for days in ("5", "9"))
    assert certificate.ends_at(f"subject=/CN=web-1\n{first}\n{second}") == certificate.ends_at(first)


@pytest.mark.parametrize("cut", [0, 1, 3, 60, 90])
def test_what_is_no_certificate_has_no_end(tmp_path: Path, cut: int) -> None:
    der = ssl.PEM_cert_to_DER_cert(made(tmp_path / "cert.pem"))
    assert certificate.ends_at(ssl.DER_cert_to_PEM_cert(der[:cut])) is None
    assert certificate.ends_at("-----BEGIN CERTIFICATE-----\nno base64\n-----END CERTIFICATE-----") is None
    assert certificate.ends_at("") is None
