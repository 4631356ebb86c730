"""An hour of cuts, resets, stalls and restarts, compressed: with the defaults clients get 99.9 % of what is offered."""

from benchmarks.availability import POLICIES, hour, measure

from trunkline.testing import run_virtual


def test_an_hour_of_faults():
    found = measure("defaults", hours=2, clients=4)
    assert found["reconnects"] >= 12, "each of its faults was one"
    assert found["link"] >= 0.999
    assert found["requests"] >= 0.999


def test_an_hour_is_the_same_each_time():
    first, second = (run_virtual(hour(3, 1, POLICIES["defaults"]())) for _ in range(2))
    assert first == second
