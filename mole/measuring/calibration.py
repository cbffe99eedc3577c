"""Calibration: maps logits to probabilities and verdicts; independent of the weights.

Shapes: N images.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

FloatArray = NDArray[np.float32] | NDArray[np.float64]
BALANCED = 0.5
"""The prevalence that temperature and bias are fitted at: both classes have the same weight."""
PREVALENCE = 0.1
"""The prevalence that a scan assumes by default: one image in ten is generated."""


class Calibration(BaseModel):
    """Temperature, bias and thresholds of a detector's logits.

    Attributes:
        temperature: divisor of the shifted logit.
        bias: added to the logit first.
        real_below: a logit below this is `real`.
        generated_above: a logit at or above this is `generated`; between the two thresholds it is `unsure`.
        false_positive_rate: the rate at `generated_above` on held-out real images, None if not measured.
        false_positive_interval: its exact 95 % interval (Clopper-Pearson).
        reals: number of real images that it was measured on.
        collection: name of the collection of those images; the rate holds only for images like them. None if unnamed,
            as in older checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: PositiveFloat = 1.0
    bias: float = 0.0
    real_below: float = 0.0
    generated_above: float = 0.0
    false_positive_rate: float | None = None
    false_positive_interval: tuple[float, float] | None = None
    reals: int = 0
    collection: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.real_below <= self.generated_above:
            raise ValueError(f"real_below {self.real_below} must not lie above generated_above {self.generated_above}")
        return self

    @model_serializer(mode="wrap")
    def _write(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit `collection` if it is None, so that checkpoints from before the field was added keep their digest."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if (name, value) != ("collection", None)}

    @property
    def balance(self) -> float:
        """The logit without evidence for either class: the probability there is the prevalence."""
        return -self.bias

    def probability(self, logit_N: FloatArray, prevalence: float = BALANCED) -> NDArray[np.float64]:
        """Compute the probability that an image is generated.

        Args:
            logit_N: the detector's logits.
            prevalence: assumed share of generated images, between 0 and 1: the prior of Bayes' rule.

        Returns:
            float64 (N,), increasing in the logit.

        Source: Bayes' rule in log odds; Saerens, Latinne and Decaestecker 2002, equation 2.4.
        """
        evidence_N = (np.asarray(logit_N, np.float64) + self.bias) / self.temperature
        shifted_N = evidence_N + np.log(prevalence / (1 - prevalence))
        chance_N: NDArray[np.float64] = 0.5 * (1 + np.tanh(shifted_N / 2))  # the logistic function; nothing overflows
        return chance_N

    def verdict(self, logit_N: FloatArray) -> NDArray[np.str_]:
        """Classify logits as `generated`, `real` or `unsure`; str (N,)."""
        return np.where(
            logit_N >= self.generated_above, "generated", np.where(logit_N < self.real_below, "real", "unsure")
        )

    def thresholds(self, prevalence: float = BALANCED) -> tuple[float, float]:
        """Return the thresholds as probabilities: below the first is `real`, from the second on is `generated`.

        Args:
            prevalence: assumed share of generated images, between 0 and 1.
        """
        real_below, generated_above = self.probability(np.array([self.real_below, self.generated_above]), prevalence)
        return float(real_below), float(generated_above)
