"""Plots: the curves and heat maps of an evaluation, each as a self-contained SVG that follows the page's colours.

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
"""Logits of real images, (R,), and of generated ones, (G,)."""

MAX_POINTS = 400
"""Points of a curve; more make no visible difference."""
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
TEXT_COLOUR = "#000000"
CSS_COLOURS = {TEXT_COLOUR: "currentColor", REAL: f"var(--real, {REAL})", FAKE: f"var(--fake, {FAKE})"}
"""Colours that a page may set, so that plots are legible on a dark background too."""
COLOUR_RANGE = (0.1, 0.9)
"""The part of a colour scale that heat maps use, so that the numbers on them stay legible."""


def roc(curves: Mapping[str, Both]) -> str:
    """Draw detection rate against false-positive rate, on a logarithmic axis that ends at one real image."""
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
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:g}")  # the default formatter writes mathtext
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="false positives (share of real images)", ylabel="found (share of generated images)")
        return _svg(figure, axes)


def precision_recall(curves: Mapping[str, Both]) -> str:
    """Draw precision against detection rate, at the ratio of classes in the samples."""
    with rc_context(STYLE):
        figure, axes = _axes(len(curves))
        for name, colour, (real_R, fake_G) in _coloured(curves):
            labels, logits = np.repeat([0, 1], [len(real_R), len(fake_G)]), np.concatenate([real_R, fake_G])
            precision_K, found_K, _ = precision_recall_curve(labels, logits)
            found_K, precision_K = _thinned(found_K, precision_K)
            axes.plot(found_K, precision_K, drawstyle="steps-pre", color=colour, label=name)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel="found (share of generated images)", ylabel="precision")
        return _svg(figure, axes)


def calibration(curves: Mapping[str, Reliability]) -> str:
    """Draw a reliability diagram with both classes weighted equally, and the share of images below it."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
        axes.plot([0, 1], [0, 1], ":", color="0.5", label="perfect")
        for (name, curve), colour in zip(curves.items(), (FAKE, REAL, TEXT_COLOUR, "0.6"), strict=False):
            axes.plot(curve.predicted, curve.observed, "o-", markersize=4, color=colour, label=_short(name))
            below.plot(curve.predicted, curve.weight, "o-", markersize=3, color=colour)
        axes.set(ylabel="share generated", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        below.set(xlabel="probability of being generated", ylabel="weight", ylim=(0, None))
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def histogram(real_R: FloatArray, fake_G: FloatArray, calibrated: Calibration) -> str:
    """Draw the distribution of the logits of both classes, and the thresholds; float (R,) and (G,)."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        both = np.concatenate([real_R, fake_G])
        edges = np.linspace(both.min() - 1e-6, both.max() + 1e-6, 41).tolist()
        for name, logits, colour in (("real", real_R, REAL), ("generated", fake_G, FAKE)):
            weights = np.full(len(logits), 1 / len(logits))
            axes.hist(logits, edges, weights=weights, color=colour, alpha=0.55, label=f"{name} ({len(logits):,})")
        for bound, label, style in (
            (calibrated.real_below, "real below", ":"),
            (calibrated.generated_above, "generated above", "--"),
        ):
            axes.axvline(bound, color=TEXT_COLOUR, linestyle=style, linewidth=1, label=f"{label} {bound:.2f}")
        axes.set(xlabel="logit", ylabel="share of the class")
        figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
        return _svg(figure)


def matrix_plot(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], *, low: float, high: float, map_name: str
) -> str:
    """Draw a table of shares as a heat map with numbers.

    Args:
        values: float64 (rows, columns), NaN for none.
        rows: names of the rows.
        columns: names of the columns.
        low: value of the first colour.
        high: value of the last colour.
        map_name: name of a matplotlib colour map.
    """
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 + 0.47 * len(columns), 1.3 + 0.26 * len(rows)), layout="constrained")
        axes = figure.subplots()
        shade = (
            np.clip((values - low) / max(high - low, 1e-9), 0, 1) * (COLOUR_RANGE[1] - COLOUR_RANGE[0])
            + COLOUR_RANGE[0]
        )
        axes.imshow(shade, cmap=map_name, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(rows)), [_short(name) for name in rows])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = colormaps[map_name](shade[row, column])
                ink = "#111111" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "#ffffff"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=7.5)
        return _svg(figure)


def _axes(curves: int) -> tuple[Figure, Axes]:
    """Create axes with room for a legend at their side."""
    columns = -(-(curves + 1) // LEGEND_ROWS)
    figure = Figure(figsize=(4.3 + 1.8 * columns, 4.2), layout="constrained")
    return figure, figure.subplots()


def _coloured(curves: Mapping[str, Both]) -> list[tuple[str, object, Both]]:
    """Assign a colour to each curve."""
    colours = colormaps["turbo"](np.linspace(0.1, 0.9, max(2, len(curves))))
    return [(_short(name), colours[place], both) for place, (name, both) in enumerate(curves.items())]


def _thinned(
    one_K: NDArray[np.float64], other_K: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Thin out a long curve, float64 (K,) each: half of the points evenly spaced, half densest at the beginning."""
    if len(one_K) <= MAX_POINTS:
        return one_K, other_K
    even = np.linspace(0, len(one_K) - 1, MAX_POINTS // 2)
    dense = np.geomspace(1, len(one_K), MAX_POINTS // 2) - 1
    kept = np.unique(np.concatenate([even, dense]).astype(int))
    return one_K[kept], other_K[kept]


def _short(name: str) -> str:
    """Shorten a name, and keep matplotlib from hiding one that begins with an underscore."""
    cut = name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
    return f" {cut}" if cut.startswith("_") else cut


def _svg(figure: Figure, axes: Axes | None = None) -> str:
    """Render a figure as an SVG element, with a legend at the side of the axes, if given."""
    if axes is not None:
        lines = len(axes.get_lines())
        axes.legend(
            frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1, 1), ncols=-(-lines // LEGEND_ROWS)
        )
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    text = file.getvalue()
    for colour, themed in CSS_COLOURS.items():
        text = text.replace(colour, themed)
    return text[text.index("<svg") :]
