"""Curves: the course of a training as one picture: loss, validation, and what the router does."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def draw(history: Sequence[dict[str, Any]]) -> bytes:
    """Draw the curves of a training.

    Args:
        history: the figures of each epoch, oldest first.

    Returns:
        A PNG.
    """
    figure = Figure(figsize=(11, 7), layout="constrained")
    loss, validation, entropy, load = figure.subplots(2, 2).flatten()
    losses = [value for epoch in history for value in epoch["losses"]]
    first = history[0]["step"] - len(history[0]["losses"]) if history else 0
    steps = [epoch["step"] for epoch in history]
    loss.plot(np.arange(len(losses)) + first + 1, losses, linewidth=0.8, color="0.6", label="a step")
    loss.plot(steps, [np.nan if epoch["loss"] is None else epoch["loss"] for epoch in history], "o-", label="an epoch")
    loss.set(title="loss (binary cross-entropy)", xlabel="step")
    loss.legend(frameon=False)
    for name in sorted(history[-1]["validation"]) if history else ():
        validation.plot(steps, [epoch["validation"][name] for epoch in history], "o-", label=name, markersize=3)
    validation.set(title="validation AUROC of each generator", xlabel="step", ylim=(None, 1.005))
    if history and history[-1]["validation"]:
        validation.legend(frameon=False, fontsize=7)
    looked = [epoch for epoch in history if epoch["loss"] is not None]
    entropy.plot([epoch["step"] for epoch in looked], [epoch["gate_entropy"] for epoch in looked], "o-")
    entropy.set(title="gate entropy (nats)", xlabel="step")
    for number, _ in enumerate(looked[0]["load"] if looked else ()):
        share = [epoch["load"][number] for epoch in looked]
        load.plot([epoch["step"] for epoch in looked], share, "o-", label=f"expert {number}")
    load.set(title="load of each expert", xlabel="step")
    if looked and looked[0]["load"]:
        load.legend(frameon=False)
    for axes in (loss, validation, entropy, load):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()
