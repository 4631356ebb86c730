"""What the benchmarks write: tables, the page and its picture."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks import plot
from benchmarks.figures import Sample
from benchmarks.goals import Goal
from benchmarks.plot import Bar, Panel, draw
from benchmarks.report import case_title, goal_row, number, sections, table
from benchmarks.scenarios import SCENARIOS
from benchmarks.store import Measured, Store

SVG = "{http://www.w3.org/2000/svg}"
ABOUT = {
    "date": "2026-01-02",
    "machine": "a machine",
    "versions": "versions",
    "command": "make bench",
    "rounds": "3 rounds of 1 s",
}


def measured(**cpu_and_rate: tuple[float, float]) -> Measured:
    samples = {name: [Sample(rate, cpu, p50=10, p99=20)] for name, (cpu, rate) in cpu_and_rate.items()}
    return Measured(ABOUT, samples)


def test_a_table_has_a_row_a_subject_and_ratios_to_the_base_and_to_the_limit() -> None:
    assert table(SCENARIOS["echo"], measured(C=(0.5, 2000000), picows=(8, 125000), aiohttp=(10, 100000))) == (
        "|         | messages/s | to picows | to C | CPU µs a message | p50 / p99 µs | spread |\n"
        "|---------|-----------:|----------:|-----:|-----------------:|-------------:|-------:|\n"
        "| picows  |    125,000 |      1.00 | 0.06 |                8 |      10 / 20 |     0% |\n"
        "| aiohttp |    100,000 |      0.80 | 0.05 |               10 |      10 / 20 |     0% |\n"
        "| C       |  2,000,000 |     16.00 | 1.00 |              0.5 |      10 / 20 |     0% |"
    )


def test_a_table_has_no_column_for_what_was_not_measured() -> None:
    of = Measured(ABOUT, {"websockets": [Sample(14000)], "aiohttp": [Sample(7000)]})
    assert table(SCENARIOS["memory"], of).splitlines()[0] == "|            |  bytes | to websockets | spread |"
    assert "| aiohttp    |  7,000 |          2.00 |     0% |" in table(SCENARIOS["memory"], of)


@pytest.mark.parametrize(
    ("value", "text"), [(1234567.4, "1,234,567"), (100, "100"), (99.96, "100"), (12.34, "12.3"), (0.01234, "0.0123")]
)
def test_a_number_has_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("scenario", "label", "title"),
    [
        ("echo", "100,64,16", "[100, 64, 16]"),
        ("feed", "65536", "65,536 bytes"),
        ("memory", "5000", "5,000 connections"),
        ("broadcast", "10 a turn", "10 a turn"),
    ],
)
def test_a_case_is_named_for_readers(scenario: str, label: str, title: str) -> None:
    assert case_title(SCENARIOS[scenario], label) == title


def test_an_aim_is_told_with_its_figure(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("echo", "uvloop", "1,64,1", measured(C=(4, 30), picows=(8, 10)))
    row = ["Echo, [1, 64, 1]", "C"]
    assert goal_row(Goal("echo", "1,64,1", "C", "picows", 3), store, "uvloop") == [
        *row,
        "3 × picows",
        "3.00",
        "met",
        "2.00",
    ]
    assert goal_row(Goal("echo", "1,64,1", "C", "picows", 3.1), store, "uvloop") == (
        [*row, "3.1 × picows", "3.00", "**missed**", "2.00"]
    )
    assert goal_row(Goal("echo", "1,64,64", "C", "picows", 3), store, "uvloop") is None


def test_the_page_says_of_each_case_how_it_was_measured(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save("feed", "uvloop", "64", measured(picows=(8, 10)))
    store.save("feed", "asyncio", "64", measured(picows=(8, 10)))
    page = "\n\n".join(sections(store))
    assert page.startswith("Measured on a machine; versions.\n\n")
    assert page.count("Measured on") == 1
    assert "### Receiving a feed: 64 bytes\n" in page
    assert "### Receiving a feed: 64 bytes, asyncio\n" in page
    assert page.count("2026-01-02, 3 rounds of 1 s, `make bench`") == 2


def bars(picture: str) -> list[tuple[str, float]]:
    """Class and length of each bar of a picture."""
    found = ElementTree.fromstring(picture).iter(f"{SVG}rect")
    return [(rect.attrib["class"], float(rect.attrib["width"])) for rect in found if rect.attrib["class"] != "back"]


def test_bars_are_as_long_as_their_figures_and_begin_at_zero() -> None:
    panel = Panel("title", "unit", [Bar("C", 25), Bar("picows", 50), Bar("trunkline on_batch", 100)])
    (ours, whole), (peer, half), (limit, quarter) = bars(draw([panel]))
    assert (peer, ours, limit) == ("peer", "ours", "limit")
    assert (half / whole, quarter / whole) == pytest.approx((0.5, 0.25), rel=1e-2)
    assert whole <= plot.WIDTH - plot.NAMES - plot.VALUES


def test_names_are_escaped() -> None:
    picture = draw([Panel("a < b & c", "unit", [Bar("x", 1)])])
    assert "a < b & c" in "".join(ElementTree.fromstring(picture).itertext())


def test_panels_stand_side_by_side_and_none_over_another() -> None:
    panels = [Panel(str(n), "unit", [Bar("x", 1)] * (n + 1)) for n in range(3)]
    titles = [text for text in ElementTree.fromstring(draw(panels)).iter(f"{SVG}text") if text.get("class") == "title"]
    (x0, y0), (x1, y1), (x2, y2) = [(float(text.attrib["x"]), float(text.attrib["y"])) for text in titles]
    assert (y1, x2) == (y0, x0)
    assert x1 >= x0 + plot.WIDTH
    assert y2 >= y0 + panels[1].height


@pytest.mark.parametrize(
    ("value", "text"), [(1234567, "1.23 M"), (123456, "123 k"), (11000, "11.0 k"), (5999.6, "6,000"), (12, "12.0")]
)
def test_figures_behind_bars_are_short(value: float, text: str) -> None:
    assert plot.short(value) == text


def test_the_picture_follows_the_reader_s_scheme() -> None:
    assert re.search(r"@media \(prefers-color-scheme: dark\)", draw([Panel("a", "b", [Bar("x", 1)])]))
