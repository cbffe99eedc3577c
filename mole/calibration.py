"""Calibration: a logit becomes a probability and a word, apart from the weights and changeable without them.

Shapes: N images.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PositiveFloat, model_validator

FloatArray = NDArray[np.float32] | NDArray[np.float64]


class Calibration(BaseModel):
    """How to read a detector's logits.

    Attributes:
        temperature: divides the shifted logit.
        bias: added to the logit first.
        real_below: a logit below this is `real`.
        generated_above: a logit at or above this is `generated`; between the two it is `unsure`.
        false_positive_rate: the rate at `generated_above` on held-out real images, None where it was not measured.
        false_positive_interval: its exact 95 % interval (Clopper-Pearson).
        reals: how many real images that was measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: PositiveFloat = 1.0
    bias: float = 0.0
    real_below: float = 0.0
    generated_above: float = 0.0
    false_positive_rate: float | None = None
    false_positive_interval: tuple[float, float] | None = None
    reals: int = 0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.real_below <= self.generated_above:
            raise ValueError(f"real_below {self.real_below} must not lie above generated_above {self.generated_above}")
        return self

    def probability(self, logit_N: FloatArray) -> NDArray[np.float64]:
        """Turn logits into the probability that an image is generated, float64 (N,)."""
        shifted_N = (np.asarray(logit_N, np.float64) + self.bias) / self.temperature
        return 0.5 * (1 + np.tanh(shifted_N / 2))  # the logistic function, written so that nothing overflows

    def verdict(self, logit_N: FloatArray) -> NDArray[np.str_]:
        """Turn logits into `generated`, `real` or `unsure`, (N,)."""
        return np.where(
            logit_N >= self.generated_above, "generated", np.where(logit_N < self.real_below, "real", "unsure")
        )
