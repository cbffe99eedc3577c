"""Training curves: loss, validation AUROC and router statistics of a training in one image."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(history: Sequence[dict[str, Any]]) -> bytes:
    """Draw the curves of a training; a value that was measured only once is a level line with its number.

    Args:
        history: the metrics of each epoch, oldest first.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    loss, validation, entropy, load = figure.subplots(2, 2).flatten()
    trained = [epoch for epoch in history if epoch["loss"] is not None]
    steps, trained_steps = ([epoch["step"] for epoch in epochs] for epochs in (history, trained))
    losses = [value for epoch in history for value in epoch["losses"]]
    if losses:
        first = history[0]["step"] - len(history[0]["losses"])
        loss.plot(np.arange(len(losses)) + first + 1, losses, linewidth=0.8, color="0.6", label="per step")
    _plot(loss, trained_steps, {"per epoch": [epoch["loss"] for epoch in trained]})
    generators = sorted(history[-1]["validation"]) if history else []
    _plot(validation, steps, {name: [epoch["validation"][name] for epoch in history] for name in generators})
    _plot(entropy, trained_steps, {"mean over images": [epoch["gate_entropy"] for epoch in trained]})
    experts = range(len(trained[0]["load"]) if trained else 0)
    _plot(load, trained_steps, {f"expert {one}": [epoch["load"][one] for epoch in trained] for one in experts})
    titles = {
        loss: "loss (binary cross-entropy)",
        validation: "validation AUROC of each generator",
        entropy: "gate entropy (nats)",
        load: "load of each expert",
    }
    for axes, title in titles.items():
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=7)
    validation.set_ylim(None, 1.005)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _plot(axes: Axes, steps: Sequence[int], curves: Mapping[str, Sequence[float | None]]) -> None:
    """Plot values over steps, by label."""
    if len(steps) == 1 and not axes.lines:
        axes.set(xlim=(steps[0] - 1, steps[0] + 1), xticks=steps)
    for number, (name, values) in enumerate(curves.items()):
        known = [value for value in values if value is not None]
        if len(known) == 1:
            axes.axhline(known[0], color=f"C{number}", label=f"{name}: {known[0]:.3f}")
        elif known:
            axes.plot(
                steps,
                [np.nan if value is None else value for value in values],
                "o-",
                color=f"C{number}",
                markersize=3,
                label=name,
            )
