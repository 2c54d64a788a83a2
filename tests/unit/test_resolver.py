"""Names of agents to addresses."""

import asyncio
import socket
import threading

import pytest

from monitoring_supervisor.resolver import Resolver


class NameServer:
    """Knows some names, is asked in threads, and can be made to be silent about some."""

    def __init__(self) -> None:
        self.names = {"web": ["10.0.0.1"], "db": ["10.0.0.2"]}
        self.silent: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def resolve(self, host: str) -> list[str]:
        self.asked.append(host)
        if host in self.silent:
            self.silent[host].wait(10)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[host]


def test_an_address_is_its_own_and_nobody_is_asked() -> None:
    server = NameServer()
    assert asyncio.run(Resolver(server.resolve).lookup("10.9.9.9")) == ["10.9.9.9"]
    assert asyncio.run(Resolver(server.resolve).lookup("::1")) == ["::1"]
    assert server.asked == []


def test_a_name_is_asked_for_once_by_all_who_wait_for_it_and_then_known() -> None:
    server = NameServer()

    async def ask() -> None:
        resolver = Resolver(server.resolve)
        assert await asyncio.gather(*(resolver.lookup("web") for _ in range(20))) == [["10.0.0.1"]] * 20
        assert await resolver.lookup("web") == ["10.0.0.1"]

    asyncio.run(ask())
    assert server.asked == ["web"]


def test_a_name_nobody_answers_about_costs_no_other_name_and_gets_no_second_question() -> None:
    server = NameServer()
    server.silent["dead"] = threading.Event()

    async def ask() -> None:
        resolver = Resolver(server.resolve)
        for _ in range(100):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(resolver.lookup("dead"), 0.001)
        assert await asyncio.wait_for(resolver.lookup("db"), 5) == ["10.0.0.2"]
        server.silent["dead"].set()
        with pytest.raises(socket.gaierror):
            await resolver.lookup("dead")

    asyncio.run(ask())
    assert server.asked.count("dead") <= 2


def test_the_last_good_answer_is_used_while_a_new_one_is_waited_for() -> None:
    server = NameServer()

    async def ask() -> None:
        resolver = Resolver(server.resolve, fresh_seconds=0.0)
        assert await resolver.lookup("web") == ["10.0.0.1"]
        server.silent["web"] = threading.Event()
        assert await asyncio.wait_for(resolver.lookup("web"), 1) == ["10.0.0.1"]
        server.names["web"] = ["10.0.0.7"]
        server.silent.pop("web").set()
        while await resolver.lookup("web") != ["10.0.0.7"]:
            await asyncio.sleep(0.01)
        del server.names["web"]
        for _ in range(20):
            assert await resolver.lookup("web") == ["10.0.0.7"]
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(ask(), 10))
