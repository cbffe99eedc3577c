"""Plots: an evaluation's curves and maps, each as one SVG that names nothing outside itself.

Legend: R real images, G generated ones, K points of a curve.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.metrics import Reliability

Both = tuple[FloatArray, FloatArray]
"""Logits of reals, (R,), and of fakes, (G,)."""

MOST_POINTS = 400
"""Of a curve: a million images are drawn as well by these."""
NAME_LETTERS = 26
LEGEND_ROWS = 22
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evaluation",
    "text.parse_math": False,  # a source may be named with a dollar sign
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.3,
}
REAL, FAKE = "#2166ac", "#b2182b"
WORST = (0.1, 0.9)
"""Colours of a map run over this part of their scale, so that the numbers on them stay legible."""


def roc(curves: Mapping[str, Both]) -> str:
    """Draw what is found against false alarms, on a logarithmic axis that ends where the reals do."""
    with rc_context(STYLE):
        figure, axes = _axes(len(curves))
        least = min(1 / len(reals) for reals, _ in curves.values())
        for name, colour, (real_R, fake_G) in _coloured(curves):
            alarm_K, found_K, _ = roc_curve(
                np.repeat([0, 1], [len(real_R), len(fake_G)]), np.concatenate([real_R, fake_G])
            )
            alarm_K, found_K = _thinned(np.maximum(alarm_K, least / 2), found_K)
            axes.plot(alarm_K, found_K, drawstyle="steps-post", color=colour, label=name)
        points = np.geomspace(least / 2, 1, 100)
        axes.plot(points, points, ":", color="0.5", label="chance")
        axes.set(xscale="log", xlim=(least / 2, 1), ylim=(0, 1.01))
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:g}")  # the usual one writes mathematics
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="false positives (share of reals)", ylabel="found (share of fakes)")
        return _svg(figure, axes)


def precision_recall(curves: Mapping[str, Both]) -> str:
    """Draw precision against what is found, with as many reals and fakes as there are."""
    with rc_context(STYLE):
        figure, axes = _axes(len(curves))
        for name, colour, (real_R, fake_G) in _coloured(curves):
            labels, logits = np.repeat([0, 1], [len(real_R), len(fake_G)]), np.concatenate([real_R, fake_G])
            precision_K, found_K, _ = precision_recall_curve(labels, logits)
            found_K, precision_K = _thinned(found_K, precision_K)
            axes.plot(found_K, precision_K, drawstyle="steps-pre", color=colour, label=name)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="found (share of fakes)", ylabel="precision")
        return _svg(figure, axes)


def calibration(curves: Mapping[str, Reliability]) -> str:
    """Draw what came true against the probability, both classes weighing alike, with the share of images below."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
        axes.plot([0, 1], [0, 1], ":", color="0.5", label="perfect")
        for (name, curve), colour in zip(curves.items(), (FAKE, REAL, "0.3", "0.6"), strict=False):
            axes.plot(curve.predicted, curve.observed, "o-", markersize=4, color=colour, label=_short(name))
            below.plot(curve.predicted, curve.weight, "o-", markersize=3, color=colour)
        axes.set(ylabel="share generated", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below.set(xlabel="probability of being generated", ylabel="weight", ylim=(0, None))
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def histogram(real_R: FloatArray, fake_G: FloatArray, calibrated: Calibration) -> str:
    """Draw how the logits of both classes lie, and the thresholds; float (R,) and (G,)."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        both = np.concatenate([real_R, fake_G])
        edges = np.linspace(both.min() - 1e-6, both.max() + 1e-6, 41).tolist()
        for name, logits, colour in (("real", real_R, REAL), ("generated", fake_G, FAKE)):
            weights = np.full(len(logits), 1 / len(logits))
            axes.hist(logits, edges, weights=weights, color=colour, alpha=0.55, label=f"{name} ({len(logits):,})")
        for bound, word in ((calibrated.real_below, "real below"), (calibrated.generated_above, "generated above")):
            axes.axvline(bound, color="0.2", linestyle="--", linewidth=1)
            axes.annotate(f" {word}", (bound, 1), xycoords=("data", "axes fraction"), rotation=90, va="top", fontsize=7)
        axes.set(xlabel="logit", ylabel="share of the class", ylim=(0, axes.get_ylim()[1] * 1.3))
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def heat_map(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], *, low: float, high: float, map_name: str
) -> str:
    """Draw a table of shares as colours with their numbers.

    Args:
        values: float64 (rows, columns), NaN where there is none.
        rows: their names.
        columns: their names.
        low: value of the first colour.
        high: value of the last colour.
        map_name: matplotlib's name of the colours.
    """
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 + 0.47 * len(columns), 1.3 + 0.26 * len(rows)), layout="constrained")
        axes = figure.subplots()
        shade = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * (WORST[1] - WORST[0]) + WORST[0]
        axes.imshow(shade, cmap=map_name, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(rows)), [_short(name) for name in rows])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = colormaps[map_name](shade[row, column])
                ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=7.5)
        return _svg(figure)


def _axes(curves: int) -> tuple[Figure, Axes]:
    """Lay out axes with room for the legend at their side."""
    columns = -(-(curves + 1) // LEGEND_ROWS)
    figure = Figure(figsize=(4.3 + 1.8 * columns, 4.2), layout="constrained")
    return figure, figure.subplots()


def _coloured(curves: Mapping[str, Both]) -> list[tuple[str, object, Both]]:
    """Give each curve a colour of its own."""
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, max(2, len(curves))))
    return [(_short(name), colours[place], both) for place, (name, both) in enumerate(curves.items())]


def _thinned(
    one_K: NDArray[np.float64], other_K: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Leave out points of a long curve, float64 (K,) each: half evenly, half densest at its beginning."""
    if len(one_K) <= MOST_POINTS:
        return one_K, other_K
    even = np.linspace(0, len(one_K) - 1, MOST_POINTS // 2)
    dense = np.geomspace(1, len(one_K), MOST_POINTS // 2) - 1
    kept = np.unique(np.concatenate([even, dense]).astype(int))
    return one_K[kept], other_K[kept]


def _short(name: str) -> str:
    """Cut a name to what fits, and keep matplotlib from hiding one that begins with an underscore."""
    cut = name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
    return f" {cut}" if cut.startswith("_") else cut


def _svg(figure: Figure, axes: Axes | None = None) -> str:
    """Write a figure as an SVG element, with a legend at the side of the axes where some are given."""
    if axes is not None:
        lines = len(axes.get_lines())
        axes.legend(
            frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1, 1), ncols=-(-lines // LEGEND_ROWS)
        )
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
