"""How long an agent rests whose answer was a large one: for its own, and for those of all."""

import pytest

from monitoring_supervisor.large import REST, REST_TOGETHER, SAVED_SECONDS, LargeAnswers

NOW = 1000.0


def test_the_only_one_rests_for_its_own_answer() -> None:
    large = LargeAnswers()
    assert large.rest(NOW, 0.2) == NOW + REST * 0.2
    assert large.rest(NOW + 3600, 0.2) == NOW + 3600 + REST * 0.2


def test_thousands_of_first_reports_at_once_do_not_make_each_other_rest() -> None:
    large = LargeAnswers()
    for _ in range(2000):
        assert large.rest(NOW, 0.001) == NOW + REST * 0.001


@pytest.mark.parametrize("agents", [3, 30, 300])
def test_many_that_send_them_again_and_again_have_a_part_of_the_time_however_many_they_are(agents: int) -> None:
    large, took = LargeAnswers(), 0.2
    until = dict.fromkeys(range(agents), 0.0)
    first, seen, now = [0] * agents, 0, NOW
    while now < NOW + 1000:
        for agent in until:
            if now >= until[agent]:
                until[agent] = large.rest(now, took)
                first[agent] += 1
                seen += 1
        now += 1.0
    spent = (seen - agents) * took  # each is heard once, whatever the others did
    assert spent <= (1000 + SAVED_SECONDS) / REST_TOGETHER
    assert all(first)
    assert seen >= min(agents * 1000 / (REST * took + 1), 1000 / (REST_TOGETHER * took)) / 2
