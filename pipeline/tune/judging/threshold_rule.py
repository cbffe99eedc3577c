"""The rule of the thresholds: collections of reals weigh alike, and it is as strict as collections it has not seen ask.

A threshold that 1 % of all held-out reals reach says little of the next collection: reals differ between collections
far more than within one. So each collection weighs the same, whatever its size; the threshold holds in every delivery
that is judged; and how strict it is follows from what the rule itself does to folds that it is not set on. With C
collections nothing bounds a new one's rate below 1 / (C + 1) without assumptions, so this is an estimate, and is told
with the collections that it fails on. In drawn worlds (the tests of this file) new collections stay
below the aim where the means of collections are normal, and somewhat above it where their tails are heavy.

Source: collections as the units that are drawn, after Dunn, Wasserman and Ramdas 2023, arXiv:1809.07441, and Lee,
Barber and Willett 2023, arXiv:2306.06342, whose guarantee is the bound above.

Legend: N images of a method, R real ones, D deliveries.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.fitting import fit_temperature
from pipeline.tune.judging.held_out import HeldOutLogits, Mask
from pipeline.tune.judging.perturbation import SHIPPED
from pipeline.tune.judging.thresholds import calibration_at, join_names

AIM = 0.02
"""Share of the reals of a collection never seen that may be called generated."""
UNSURE_SHARE = 0.10
"""Share of reals that may lie above `real_below`, collections weighing alike."""
PARTS = tuple(tenths / 10 for tenths in range(10, -1, -1))
"""Of the aim: how many of the reals at hand may lie above the threshold, the laxest first."""


@dataclass(frozen=True)
class HeldOutReals:
    """Held-out reals that were read in every judged delivery.

    Attributes:
        logit_DR: float64, a row a delivery.
        name_R: what each is judged with.
        fold_R: which fold held it out.
    """

    logit_DR: NDArray[np.float64]
    name_R: NDArray[np.str_]
    fold_R: NDArray[np.int_]

    @classmethod
    def of(cls, held: HeldOutLogits, folds: Collection[int]) -> "HeldOutReals":
        """Take the reals that some folds held out."""
        own_N = held.standalone(0) & np.isin(held.facts["fold"], list(folds))
        return cls(
            np.stack([held.logits[delivery][own_N] for delivery in held.main_deliveries]),
            held.name_N[own_N],
            held.facts["fold"][own_N].astype(int),
        )

    def select(self, mask_R: Mask) -> "HeldOutReals":
        """Take some of them; bool (R,)."""
        return HeldOutReals(self.logit_DR[:, mask_R], self.name_R[mask_R], self.fold_R[mask_R])

    def threshold(self, share: float) -> float:
        """Find the lowest threshold that no more than a share of them reaches in any delivery, collections alike."""
        return max(weighted_threshold(logit_R, self.name_R, share) for logit_R in self.logit_DR)

    def estimate(self, share: float) -> "Estimate":
        """Estimate what share of a collection never seen reaches a threshold that is found so.

        Returns:
            Each fold's reals against the threshold of the others', in the delivery where that is worst.
        """
        above_DR = np.zeros(self.logit_DR.shape, bool)
        for fold in set(self.fold_R.tolist()):
            own_R = self.fold_R == fold
            above_DR[:, own_R] = self.logit_DR[:, own_R] >= self.select(~own_R).threshold(share)
        return max((Estimate.of(share, above_R, self.name_R) for above_R in above_DR), key=lambda one: one.high)

    def choose_share(self, aim: float) -> "Estimate":
        """Choose the largest share of the reals at hand whose estimate for a collection never seen meets an aim.

        Returns:
            Its estimate, that of the last of `PARTS` where none meets the aim. Where one fold alone is there, which
            tells nothing of another, that of all its reals above, for no share is known to be strict enough.
        """
        if len(set(self.fold_R.tolist())) < 2:
            return Estimate(PARTS[-1] * aim, 1.0, 0.0)
        for part in PARTS:
            estimate = self.estimate(part * aim)
            if estimate.high <= aim:
                break
        return estimate


@dataclass(frozen=True)
class Estimate:
    """What the rule does to folds that it is not set on.

    Attributes:
        share: of the reals at hand that may lie above the threshold, collections weighing alike.
        mean: share of a fold's reals above the threshold of the other folds, the mean over collections.
        error: its standard error, collections being what is drawn.
    """

    share: float
    mean: float
    error: float

    @classmethod
    def of(cls, share: float, above_R: Mask, name_R: NDArray[np.str_]) -> "Estimate":
        """Make it of which reals lie above; bool and str (R,)."""
        share_C = np.array([above_R[name_R == name].mean() for name in np.unique(name_R)])
        error = float(np.std(share_C, ddof=1) / np.sqrt(len(share_C))) if len(share_C) > 1 else 1.0
        return cls(share, float(share_C.mean()), error)

    @property
    def high(self) -> float:
        """What has to meet the aim: the mean and one standard error."""
        return self.mean + self.error


def weighted_threshold(logit_R: FloatArray, name_R: NDArray[np.str_], share: float) -> float:
    """Find the lowest threshold that no more than a share of real images reaches, each collection weighing the same.

    Args:
        logit_R: logits of real images.
        name_R: the collection of each.
        share: in [0, 1); at 0 none reaches it.
    """
    _, place_R, count_C = np.unique(name_R, return_inverse=True, return_counts=True)
    order_R = np.argsort(-logit_R, kind="stable")
    weight_R = np.cumsum(1 / (len(count_C) * count_C[place_R[order_R]]))
    allowed = int((weight_R <= share + 1e-12).sum())
    return float(np.nextafter(np.float32(logit_R[order_R[allowed]]), np.float32(np.inf)))


def mean_rate(hit_R: Mask, name_R: NDArray[np.str_]) -> float:
    """Average over collections how often something holds; bool and str (R,)."""
    return float(np.mean([hit_R[name_R == name].mean() for name in np.unique(name_R)]))


def calibrate(held: HeldOutLogits, folds: Collection[int], aim: float = AIM) -> Calibration:
    """Set temperature, bias and thresholds on what some folds held out.

    Args:
        held: a method's logits.
        folds: those whose images are looked at: all but one to judge that one, all for the detector that is shipped.
        aim: as `AIM`.
    """
    reals = HeldOutReals.of(held, folds)
    within_N = np.isin(held.facts["fold"], list(folds))
    both = [
        (held.logits[delivery][own_N], np.full(int(own_N.sum()), label))
        for delivery in held.main_deliveries
        for label in (0, 1)
        for own_N in [held.of_class(label, delivery) & within_N]
    ]
    fitted = fit_temperature(*(np.concatenate(column) for column in zip(*both, strict=True)))
    bounds = reals.threshold(UNSURE_SHARE), reals.threshold(reals.choose_share(aim).share)
    shipped_N = held.of_class(0, SHIPPED) & within_N
    names = held.facts["collection"][shipped_N].tolist()
    return calibration_at(held.logits[SHIPPED][shipped_N], bounds, fitted, collection=join_names(names))
