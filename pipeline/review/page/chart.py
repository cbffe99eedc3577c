"""Chart: bar charts as inline SVG in the page's colours, with accessible texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.review.analysis.findings import Bin, Scale
from pipeline.review.page.wording import percent
from pipeline.telemetry.printable import counted

WIDTHS, HEIGHT = {"wide": 720, "narrow": 380}, 240
"""Sizes of the drawings for wide and for narrow pages; on narrow pages the text of the wide one would be too small."""
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 38, 40
TICKS = (0.5, 0.1, 0.9, 0.01, 0.99, 0.001, 0.999, 1e-4, 0.9999, 1e-6, 1 - 1e-6)
"""Candidate ticks of the probability axis, by priority."""
LETTER, APART = 6.2, 8
"""Maximum width of a letter, and minimum distance of two ticks, in pixels."""


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        parts: heights of its segments by CSS class, from the bottom up.
        tooltip: tooltip text.
    """

    parts: dict[str, float]
    tooltip: str


@dataclass(frozen=True)
class Mark:
    """A labelled position on the x axis, from 0 (left) to 1 (right)."""

    at: float
    text: str


def histogram(bins: Sequence[Bin], scale: Scale, limits: Sequence[tuple[float, str]]) -> str:
    """Draw the histogram of scores, with lines at the thresholds.

    Args:
        bins: bins of logits, in order, of equal width.
        scale: maps logits to probabilities.
        limits: thresholds in logits, each with its label.
    """
    low, high = bins[0].low, bins[-1].high
    bars = []
    for one in bins:
        ends = scale.chance(one.low), scale.chance(one.high)
        tooltip = f"{percent(ends[0])} to {percent(ends[1])}: {counted(one.real + one.unsure + one.generated, 'image')}"
        bars.append(Bar({"real": one.real, "unsure": one.unsure, "generated": one.generated}, tooltip))
    marks = [
        Mark((scale.logit(math.log(tick / (1 - tick))) - low) / (high - low), f"{100 * tick:.6g} %") for tick in TICKS
    ]
    lines = [Mark((logit - low) / (high - low), word) for logit, word in limits]
    return columns(bars, marks, lines=lines, title="Histogram of the scores", axis="probability of being generated")


def columns(
    bars: Sequence[Bar], marks: Sequence[Mark], *, title: str, axis: str, lines: Sequence[Mark] = (), unit: str = ""
) -> str:
    """Draw a bar chart for wide and for narrow pages; CSS shows one of the two.

    Args:
        bars: from left to right.
        marks: ticks of the x axis; those outside or too close to an earlier one are omitted.
        title: the accessible title.
        axis: title of the x axis.
        lines: vertical lines.
        unit: unit of the y axis.
    """
    return "".join(
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" class="chart {name}"><title>{title}</title>'
        f"{_heights(bars, width, unit)}{_lines(lines, width)}{_below(marks, axis, width)}</svg>"
        for name, width in WIDTHS.items()
    )


def _heights(bars: Sequence[Bar], width: int, unit: str) -> str:
    """Draw the bars and the y axis."""
    highest = max((sum(bar.parts.values()) for bar in bars), default=0) or 1
    whole = all(isinstance(height, int) for bar in bars for height in bar.parts.values())
    high, drawn = HEIGHT - TOP - BOTTOM, []
    for tick in (tick for tick in _round(highest, whole=whole) if tick <= highest * 1.001):
        y = TOP + high * (1 - tick / highest)
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}{unit}</text>')
    step = (width - LEFT - RIGHT) / len(bars)
    for place, bar in enumerate(bars):
        drawn.append(f"<g><title>{bar.tooltip}</title>")
        y = float(TOP + high)
        for kind, height in bar.parts.items():
            if height:
                tall = max(0.6, high * height / highest)
                y -= tall
                size = f'width="{max(0.5, step - 1):.2f}" height="{tall:.2f}"'
                drawn.append(f'<rect class="{kind}" x="{LEFT + place * step:.2f}" y="{y:.2f}" {size}/>')
        drawn.append("</g>")
    return "".join(drawn)


def _lines(lines: Sequence[Mark], width: int) -> str:
    return "".join(_line(mark, width, number) for number, mark in enumerate(lines) if 0 <= mark.at <= 1)


def _line(mark: Mark, width: int, number: int) -> str:
    x = LEFT + mark.at * (width - LEFT - RIGHT)
    side, shift = ("end", -4) if mark.at > 0.5 else ("start", 4)
    y = 12 + 14 * number
    return (
        f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x + shift:.1f}" y="{y:.1f}" text-anchor="{side}">{mark.text}</text>'
    )


def _below(marks: Sequence[Mark], axis: str, width: int) -> str:
    """Draw the x axis, with the ticks that do not overlap an earlier one."""
    taken: list[tuple[float, float]] = []
    drawn = []
    for mark in marks:
        half = LETTER * len(mark.text) / 2
        middle = min(LEFT + mark.at * (width - LEFT - RIGHT), width - half)  # inside the drawing at the right end
        if 0 <= mark.at <= 1 and all(
            middle + half + APART < low or high + APART < middle - half for low, high in taken
        ):
            taken.append((middle - half, middle + half))
            drawn.append(f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{mark.text}</text>')
    center = (width + LEFT - RIGHT) / 2
    return "".join([*drawn, f'<text x="{center:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{axis}</text>'])


def _round(highest: float, *, whole: bool) -> list[float]:
    """Choose about four round ticks from 0 to a maximum; integers for counts."""
    power = 10 ** math.floor(math.log10(highest / 4))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit * 5 >= highest)
    step = max(step, 1) if whole else step
    return [step * number for number in range(6)]


def _short(number: float) -> str:
    """Format a number with an SI prefix: `1.2 M`."""
    for size, word in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:.3g}"
