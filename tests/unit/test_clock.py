"""What those say of the clock who keep it."""

from pathlib import Path

import pytest

from monitoring_agent.collectors import clock
from monitoring_agent.host import Host

CHRONY = (
    "7F000001,127.0.0.1,2,1795558066.107927205,{offset},-0.000018621,0.000045039,-0.764,-0.771,28.715,"
    "0.000132195,0.000134108,1.0,Normal\n"
)


@pytest.mark.parametrize("offset", [0.250065029, -0.001])
def test_chrony_tells_how_far_the_clock_is_behind_or_ahead(offset: float) -> None:
    assert clock.parse_chrony(CHRONY.format(offset=f"{offset:.9f}")) == offset


def test_chrony_without_a_source_tells_nothing() -> None:
    zero = ",0.000000000" * 4
    assert clock.parse_chrony(f"00000000,,0{zero},0.000,0.000,0.000,1.0,1.0,0.0,Not synchronised\n") is None


def message(*times: int) -> str:
    data = [0, 4, 4, 1, -20, 0, 0, [84, 69, 83, 84], *times, False, 3, 12]
    return f'{{"type":"(uuuuittayttttbtt)","data":{data}}}'.replace("False", "false")


def test_the_four_times_of_timesyncd_s_last_answer_tell_the_offset_whatever_the_way_took() -> None:
    assert clock.parse_timesyncd(message(1_000_000, 1_350_000, 1_350_100, 1_200_100)) == 0.25
    assert clock.parse_timesyncd(message(0, 0, 0, 0)) is None  # no server has answered yet


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data":[1]}', '{"data":null}', message(1)[:-2]])
def test_an_answer_of_timesyncd_that_tells_nothing_is_no_offset(text: str) -> None:
    assert clock.parse_timesyncd(text) is None


@pytest.mark.parametrize("text", ["", "\n", "a,b", "a,b,c,d,e,f\n", "506 Cannot talk to daemon\n"])
def test_an_answer_of_chrony_that_tells_nothing_is_no_offset(text: str) -> None:
    assert clock.parse_chrony(text) is None


def test_where_nobody_keeps_the_clock_its_offset_is_unknown(tmp_path: Path) -> None:
    assert clock.ask_keeper(Host(str(tmp_path))) is None
