"""An hour of cuts, resets, stalls and restarts, compressed: clients get what the server offers, 99.9 % of it."""

from benchmarks.availability import POLICIES, hour, measure

from trunkline.testing import run_virtual


def test_an_hour_of_faults():
    found = measure("eager", hours=1, clients=4)
    assert found["reconnects"] >= 12, "each of its faults was one"
    assert found["link"] >= 0.999
    assert found["requests"] >= 0.999


def test_an_hour_is_the_same_each_time():
    first, second = (run_virtual(hour(3, 1, POLICIES["eager"]())) for _ in range(2))
    assert first == second
