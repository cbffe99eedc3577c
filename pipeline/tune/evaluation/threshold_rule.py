"""Threshold rule: thresholds with which an unseen collection is expected to meet a target false-positive rate.

A threshold that 1 % of all held-out real images reach says little about the next collection, because real images differ
between collections far more than within one. So every collection has the same weight, whatever its size; the threshold
holds under every main perturbation; and its strictness follows from the rates that the rule gives on folds it was not
set on. With C collections, no bound below 1 / (C + 1) can be given for a new one without assumptions, so this is an
estimate, and is reported with the collections that exceed it. In simulations (the tests of this file) new collections
stay below the target if the means of collections are normally distributed, and somewhat above it if they have heavy
tails.

Source: collections as the sampling units, after Dunn, Wasserman and Ramdas 2023, arXiv:1809.07441, and Lee,
Barber and Willett 2023, arXiv:2306.06342, whose guarantee is that bound.

Legend: N images of a method, R real ones, D perturbations, C collections.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mole.measuring.calibration import Calibration, FloatArray
from mole.measuring.calibration_fit import fit_temperature
from pipeline.tune.evaluation.held_out_logits import HeldOutLogits, Mask
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.thresholds import calibration_at, join_names

TARGET_RATE = 0.02
"""Target false-positive rate on an unseen collection."""
UNSURE_SHARE = 0.10
"""Share of real images that may score above `real_below`, as a mean over collections."""
TRIED_FRACTIONS = tuple(tenths / 10 for tenths in range(10, -1, -1))
"""Fractions of the target that are tried as the share of known real images above the threshold, the laxest first."""


@dataclass(frozen=True)
class HeldOutReals:
    """Held-out real images that were read under all main perturbations.

    Attributes:
        logit_DR: float64, one row per perturbation.
        name_R: the collection, or the pool of small ones, of each.
        fold_R: the fold that held it out.
    """

    logit_DR: NDArray[np.float64]
    name_R: NDArray[np.str_]
    fold_R: NDArray[np.int_]

    @classmethod
    def of(cls, held: HeldOutLogits, folds: Collection[int]) -> "HeldOutReals":
        """Select the real images that some folds held out."""
        own_N = held.standalone(0) & np.isin(held.facts["fold"], list(folds))
        return cls(
            np.stack([held.logits[delivery][own_N] for delivery in held.main_deliveries]),
            held.name_N[own_N],
            held.facts["fold"][own_N].astype(int),
        )

    def select(self, mask_R: Mask) -> "HeldOutReals":
        """Select some of them; bool (R,)."""
        return HeldOutReals(self.logit_DR[:, mask_R], self.name_R[mask_R], self.fold_R[mask_R])

    def threshold(self, share: float) -> float:
        """Find the lowest threshold that at most a share of them, averaged over collections, reaches in any row."""
        return max(weighted_threshold(logit_R, self.name_R, share) for logit_R in self.logit_DR)

    def estimate(self, share: float) -> "Estimate":
        """Estimate the share of an unseen collection that reaches the threshold for a share, by cross-validation.

        Returns:
            The rates of each fold at the threshold of the others, under the worst perturbation.
        """
        above_DR = np.zeros(self.logit_DR.shape, bool)
        for fold in set(self.fold_R.tolist()):
            own_R = self.fold_R == fold
            above_DR[:, own_R] = self.logit_DR[:, own_R] >= self.select(~own_R).threshold(share)
        return max((Estimate.of(share, above_R, self.name_R) for above_R in above_DR), key=lambda one: one.high)

    def choose_share(self, aim: float) -> "Estimate":
        """Choose the largest share whose estimate for an unseen collection meets a target.

        Returns:
            Its estimate; that of the strictest of `TRIED_FRACTIONS` if none meets the target. With a single fold there
            is nothing to estimate from, and the result is the strictest share with a rate of 1.
        """
        if len(set(self.fold_R.tolist())) < 2:
            return Estimate(TRIED_FRACTIONS[-1] * aim, 1.0, 0.0)
        for part in TRIED_FRACTIONS:
            estimate = self.estimate(part * aim)
            if estimate.high <= aim:
                break
        return estimate


@dataclass(frozen=True)
class Estimate:
    """The rates that the rule gives on folds it was not set on; part of `ladder.json`.

    Attributes:
        share: share of known real images that may score above the threshold, as a mean over collections.
        mean: share of a fold's real images above the threshold of the other folds, as a mean over collections.
        error: standard error of that mean, with collections as sampling units.
    """

    share: float
    mean: float
    error: float

    @classmethod
    def of(cls, share: float, above_R: Mask, name_R: NDArray[np.str_]) -> "Estimate":
        """Compute the estimate from the real images above the threshold; bool and str (R,)."""
        share_C = np.array([above_R[name_R == name].mean() for name in np.unique(name_R)])
        error = float(np.std(share_C, ddof=1) / np.sqrt(len(share_C))) if len(share_C) > 1 else 1.0
        return cls(share, float(share_C.mean()), error)

    @property
    def high(self) -> float:
        """The value that has to meet the target: the mean plus one standard error."""
        return self.mean + self.error


def weighted_threshold(logit_R: FloatArray, name_R: NDArray[np.str_], share: float) -> float:
    """Find the lowest threshold that at most a share of real images reaches, with equal weights for all collections.

    Args:
        logit_R: logits of real images, float (R,).
        name_R: the collection of each, str (R,).
        share: in [0, 1); at 0 no image reaches the threshold.
    """
    _, place_R, count_C = np.unique(name_R, return_inverse=True, return_counts=True)
    order_R = np.argsort(-logit_R, kind="stable")
    weight_R = np.cumsum(1 / (len(count_C) * count_C[place_R[order_R]]))
    allowed = int((weight_R <= share + 1e-12).sum())
    return float(np.nextafter(np.float32(logit_R[order_R[allowed]]), np.float32(np.inf)))


def mean_rate(hit_R: Mask, name_R: NDArray[np.str_]) -> float:
    """Average the rate of each collection; bool and str (R,)."""
    return float(np.mean([hit_R[name_R == name].mean() for name in np.unique(name_R)]))


def calibrate(held: HeldOutLogits, folds: Collection[int], aim: float = TARGET_RATE) -> Calibration:
    """Set temperature, bias and thresholds on the images that some folds held out.

    Args:
        held: a method's logits.
        folds: all but one to evaluate that one, or all of them for the shipped detector.
        aim: as `TARGET_RATE`.
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
    shipped_N = held.of_class(0, ORIGINAL) & within_N
    names = held.facts["collection"][shipped_N].tolist()
    return calibration_at(held.logits[ORIGINAL][shipped_N], bounds, fitted, collection=join_names(names))
