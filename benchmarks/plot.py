"""The picture of the report: panels of horizontal bars, each with an axis of its own that begins at zero.

It is plain SVG, so that it needs no library and a review shows what has changed. It follows the reader's light or dark
scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.scenario import LIMIT

# Scenario and case of each panel, row by row.
PANELS = [
    ("echo", "100,64,16"),
    ("echo", "100,64,1"),
    ("echo", "10,4096,8"),
    ("tls", "100,64,16"),
    ("feed", "64"),
    ("broadcast", "10 a turn"),
    ("deflate", "10,1024,8"),
    ("memory", "5000"),
]

KINDS = ["ours", "peer", "limit"]  # classes of the style, in the order of the bars
NAMESPACE = "http://www.w3.org/2000/svg"
COLUMNS = 2
WIDTH, MARGIN = 440, 24  # of a panel, pixels
NAMES, VALUES = 160, 66  # widths of the names before the bars and of the figures behind them
HEAD, ROW, FOOT = 52, 20, 20  # heights of a panel's title, of a bar with its gap, and below the last bar
BAR = 13

STYLE = """\
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.unit { fill: #59636e; font-size: 11px }
.back { fill: #ffffff }
.axis { stroke: #818b98; stroke-width: 1 }
.ours { fill: #0a69da }
.peer { fill: #a3acb7 }
.limit { fill: #ffffff; stroke: #818b98; stroke-dasharray: 3 2 }
.bold { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .unit { fill: #9198a1 }
  .back, .limit { fill: #0d1117 }
  .ours { fill: #4493f8 }
  .peer { fill: #59636e }
}"""


@dataclass(frozen=True)
class Bar:
    """One subject of a panel."""

    name: str
    figure: float


@dataclass(frozen=True)
class Panel:
    """One case of a scenario."""

    title: str
    unit: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.bars) + FOOT


def draw(panels: Sequence[Panel]) -> str:
    """Return the picture as the text of an SVG file."""
    rows = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    parts, y = [], MARGIN // 2
    for row in rows:
        for column, panel in enumerate(row):
            parts += draw_panel(panel, MARGIN + column * (WIDTH + MARGIN), y)
        y += max(panel.height for panel in row)
    width, height = MARGIN + COLUMNS * (WIDTH + MARGIN), y + MARGIN // 2
    return "\n".join(
        [
            f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
            f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="back" width="{width}" height="{height}" rx="6"/>',
            *parts,
            "</svg>\n",
        ]
    )


def draw_panel(panel: Panel, x: int, y: int) -> list[str]:
    """Return the SVG lines of a panel whose upper left corner is at x, y."""
    left, top = x + NAMES, y + HEAD
    most = max(bar.figure for bar in panel.bars)
    lines = [text(x, y + 20, panel.title, "title"), text(x, y + 36, panel.unit, "unit")]
    bars = sorted(panel.bars, key=lambda bar: KINDS.index(kind_of(bar.name)))
    for number, bar in enumerate(bars):
        kind = kind_of(bar.name)
        weight = "bold" if kind == "ours" else ""
        at, middle = top + number * ROW, top + number * ROW + BAR - 2.5
        length = (WIDTH - NAMES - VALUES) * bar.figure / most
        lines.append(text(left - 8, middle, "C, no library" if bar.name == LIMIT else bar.name, weight, "end"))
        lines.append(f'<rect class="{kind}" x="{left}" y="{at}" width="{length:.1f}" height="{BAR}"/>')
        lines.append(text(left + length + 6, middle, short(bar.figure), weight))
    bottom = top + ROW * len(panel.bars) - ROW + BAR + 3
    lines.append(f'<line class="axis" x1="{left}" y1="{top - 3}" x2="{left}" y2="{bottom}"/>')
    return lines


def kind_of(name: str) -> str:
    """Return a subject's class in the style."""
    if name in (LIMIT, "no WebSocket"):
        return "limit"
    return "ours" if name.startswith("trunkline") else "peer"


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return one line of text as SVG."""
    marked = f' class="{kind}"' if kind else ""
    return f'<text{marked} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def short(value: float) -> str:
    """Format a figure with three digits: 1.23 M, 123 k, 5,999."""
    for size, mark in [(1e6, " M"), (1e4, " k")]:
        if value >= size:
            return f"{value / (size if mark == ' M' else 1e3):#.3g}".rstrip(".") + mark
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
