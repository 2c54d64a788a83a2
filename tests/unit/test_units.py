"""The units of systemd, as it says them and as its files do."""

import time
from pathlib import Path

from monitoring_agent.collectors import units
from monitoring_agent.host import Host


def test_failed_units_are_named_with_the_way_they_failed() -> None:
    text = (
        "ssh.service loaded active running OpenBSD Secure Shell server\n"
        "nginx.service loaded failed failed A web server\n"
        "odd\\x2dname.mount not-found inactive dead odd\n"
    )
    sample = units.parse(text)
    assert sample["failed"] == {"nginx.service": "loaded, failed"}
    assert (sample["states"]["active"], sample["states"]["failed"], sample["states"]["inactive"]) == (1, 1, 1)


def test_services_that_were_restarted_are_counted() -> None:
    text = "Id=a.service\nNRestarts=3\n\nNRestarts=0\nId=b.service\n\nId=c.service\nNRestarts=[not set]\n"
    assert units.parse_restarts(text) == {"a.service": {"restarts_total": 3}}


class Systemd:
    """Stands for systemd: the lives of its services, which are links in a directory, and how often each restarted."""

    def __init__(self, root: Path) -> None:
        (root / "run/systemd/system").mkdir(parents=True)
        self.directory = root / "run/systemd/units"
        self.directory.mkdir()
        self.restarts: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.now = 1000.0
        self.host = Host(str(root))
        self.collector = units.Restarts(self.show, lambda: self.now)

    def show(self, names: list[str]) -> str:
        self.asked.append(names)
        known = self.restarts if names == ["*.service"] else {name: self.restarts.get(name, 0) for name in names}
        return "\n".join(f"Id={name}\nNRestarts={count}\n" for name, count in known.items())

    def start(self, name: str, life: str, restarts: int = 0) -> None:
        self.end(name)
        (self.directory / f"invocation:{name}").symlink_to(life)
        self.restarts[name] = restarts

    def end(self, name: str) -> None:
        (self.directory / f"invocation:{name}").unlink(missing_ok=True)

    def look(self) -> dict[str, int]:
        """What the collector says half a minute later."""
        self.now += 30
        return {name: one["restarts_total"] for name, one in self.collector.collect(self.host).items()}


def test_only_services_that_began_anew_or_ended_are_asked_for_their_restarts(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path)
    systemd.start("a.service", "1", restarts=2)
    systemd.start("b.service", "2")
    systemd.start("dev-sda.swap", "9")
    assert systemd.look() == {"a.service": 2}
    assert systemd.look() == {"a.service": 2}
    assert systemd.asked == [["*.service"]]
    systemd.start("b.service", "3", restarts=1)
    assert systemd.look() == {"a.service": 2, "b.service": 1}
    systemd.start("a.service", "4")  # by hand: it counts from nothing
    systemd.end("b.service")
    assert systemd.look() == {"b.service": 1}
    assert systemd.asked == [["*.service"], ["b.service"], ["a.service", "b.service"]]


def test_a_service_that_began_and_ended_between_two_looks_is_not_missed(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path)
    assert systemd.look() == {}
    time.sleep(0.02)  # the clock of the filesystem is a coarse one
    systemd.start("a.service", "1", restarts=5)
    systemd.end("a.service")
    assert systemd.look() == {"a.service": 5}


def test_all_services_are_asked_now_and_then_whatever_their_lives_were_and_when_there_are_many(tmp_path: Path) -> None:
    systemd = Systemd(tmp_path)
    systemd.start("a.service", "1", restarts=3)
    systemd.look()
    systemd.restarts["a.service"] = 0  # systemctl reset-failed
    assert [systemd.look() for _ in range(10)] == [{"a.service": 3}] * 9 + [{}]
    for number in range(100):
        systemd.start(f"{number}.service", "1", restarts=1)
    assert len(systemd.look()) == 100
    assert systemd.asked == [["*.service"]] * 3
