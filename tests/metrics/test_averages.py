"""Averages, jitter, rates over windows and suspicion, on times that the tests hand in."""

import math

import pytest

from trunkline._metrics import Average, Rates, Suspicion, Window


def test_the_first_value_is_taken_whole_and_later_ones_by_weight():
    average = Average(0.25)
    assert (average.value, average.last, average.jitter) == (None, None, None)
    average.record(8.0)
    assert (average.value, average.last, average.jitter) == (8.0, 8.0, None)
    average.record(4.0)
    assert (average.value, average.last, average.jitter) == (7.0, 4.0, 1.0)
    average.record(4.0)
    assert (average.value, average.jitter) == (6.25, 0.75)
    assert average.count == 3


@pytest.mark.parametrize("weight", [0, -1, 1.5, math.nan])
def test_a_weight_is_a_share(weight):
    with pytest.raises(ValueError, match="weight"):
        Average(weight)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_only_numbers_are_averaged(value):
    with pytest.raises(ValueError, match="finite"):
        Average().record(value)


def test_rates_over_one_ten_and_sixty_seconds():
    rates = Rates(now=1020.0)
    for tenth in range(600):  # a minute of 5 in each tenth of a second
        rates.add(1020.0 + tenth / 10 + 0.05, 5)
    assert rates.total == 3000
    assert rates.per_second(1080.0) == pytest.approx((50, 50, 50), rel=0.12)
    assert rates.totals(1080.0) == (45, 450, 2700), "the slot that has just begun, and the nine before"
    assert rates.per_second(1081.5)[0] == 0
    assert rates.per_second(1081.5)[1] == pytest.approx(45, rel=0.12)
    assert rates.totals(1200.0) == (0, 0, 0)


def test_a_young_window_is_measured_over_its_life():
    rates = Rates(now=50.0)
    rates.add(50.0, 20)
    assert rates.per_second(52.0)[2] == 20 / 6, "a tenth of the window at least"
    rates.add(57.0, 20)
    assert rates.per_second(58.0)[2] == 40 / 8


def test_a_window_forgets_slot_by_slot():
    rates = Rates(now=0.0)
    rates.add(0.05, 1)
    assert [rates.totals(now)[0] for now in (0.05, 0.95, 1.0, 1.05)] == [1, 1, 0, 0]


def test_a_clock_that_goes_backwards_stays_in_its_slot():
    rates = Rates(now=100.0)
    rates.add(100.0, 1)
    rates.add(99.0, 1)
    assert rates.totals(100.0) == (2, 2, 2)


def test_a_leap_of_the_clock_costs_no_time():
    rates = Rates(now=0.0)
    rates.add(1e9, 3)
    assert rates.totals(1e9) == (3, 3, 3)


def test_a_window_has_a_length():
    with pytest.raises(ValueError, match="seconds"):
        Window(0.0, 0.0)


def suspicion_of(interval, count=50, **options):
    suspicion = Suspicion(**options)
    for beat in range(count):
        suspicion.record(beat * interval)
    return suspicion, (count - 1) * interval


def test_suspicion_grows_with_silence():
    suspicion, last = suspicion_of(1.0)
    phis = [suspicion.phi(last + silence) for silence in (0.0, 0.5, 1.0, 1.2, 1.5, 2.0, 5.0, 50.0, 1e6)]
    assert phis == sorted(phis)
    assert phis[0] < 0.01
    assert phis[2] == pytest.approx(-math.log10(0.5), abs=0.01), "at the mean, half of all lines are later"
    assert phis[5] > 8
    assert math.isfinite(phis[-1])


def test_phi_is_the_tail_of_the_normal_distribution():
    suspicion, last = suspicion_of(10.0, least=2.0)
    for deviations in (0.5, 1.0, 2.0, 3.0, 4.0):
        tail = math.erfc(deviations / math.sqrt(2)) / 2
        assert suspicion.phi(last + 10.0 + deviations * 2.0) == pytest.approx(-math.log10(tail), rel=0.06)


def test_an_irregular_line_is_suspected_later():
    regular, last = suspicion_of(1.0)
    irregular = Suspicion()
    now = 0.0
    for beat in range(200):
        now += 0.2 if beat % 2 else 1.8
        irregular.record(now)
    assert irregular.phi(now + 2.0) < regular.phi(last + 2.0)


def test_a_sign_out_of_turn_ends_the_silence_and_keeps_the_rhythm():
    suspicion, last = suspicion_of(10.0)
    assert suspicion.phi(last + 30) > 3
    suspicion.touch(last + 29)
    assert suspicion.phi(last + 30) < 0.01
    suspicion.touch(last)
    assert suspicion.phi(last + 30) < 0.01, "time does not go backwards"
    suspicion.record(last + 30)
    for beat in range(50):
        suspicion.record(last + 40 + beat * 10)
    assert suspicion.phi(last + 530 + 10.0) < 2


def test_no_suspicion_before_two_signs_of_life():
    suspicion = Suspicion()
    assert suspicion.phi(1e9) == 0.0
    suspicion.record(0.0)
    assert suspicion.phi(1e9) == 0.0
    suspicion.record(1.0)
    assert suspicion.phi(60.0) > 1
    suspicion.forget()
    assert suspicion.phi(1e9) == 0.0


@pytest.mark.parametrize("options", [{"weight": 0}, {"weight": 2}, {"least": 0}, {"least": math.nan}])
def test_suspicion_has_sensible_settings(options):
    with pytest.raises(ValueError, match="must be more than 0"):
        Suspicion(**options)


@pytest.mark.parametrize("before", [-1000.0, -12.05, -0.1])
def test_a_clock_may_begin_before_zero(before: float) -> None:
    rates = Rates(before)
    for step in range(100):
        rates.add(before + step / 10, 1)
    assert rates.total == 100
    short, middle, long = rates.totals(before + 9.9)
    assert (short, long) == (10, 100)
    assert 90 <= middle <= 100


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_what_is_no_time_is_counted_all_the_same(now: float) -> None:
    rates = Rates(now)
    rates.add(now, 3)
    rates.add(-7.0, 1)
    assert rates.total == 4
