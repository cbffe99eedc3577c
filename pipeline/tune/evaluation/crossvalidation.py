"""Cross-validation metrics: computed from held-out logits, with thresholds set on the other folds.

Legend: N images of a method, R real ones, G generated ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mole.measuring.calibration import Calibration
from mole.measuring.calibration_fit import threshold_for
from mole.measuring.metrics import auroc, auroc_interval, average_precision
from mole.measuring.rates import Rate, rate_of
from pipeline.tune.evaluation.held_out_logits import MIN_IMAGES, HeldOutLogits
from pipeline.tune.evaluation.held_out_metrics import (
    CollectionRates,
    DetectionRate,
    GeneratorAuroc,
    HeldOutMetrics,
    MeanAuroc,
    PairAuroc,
    PerturbationCost,
    VerdictRates,
)
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.evaluation.threshold_rule import TARGET_RATE, HeldOutReals, calibrate, mean_rate

FALSE_POSITIVE_RATES = (0.01, 0.05)
"""False-positive rates at which detection rates are measured."""
WORST_NAMED = 3
"""Number of worst generators listed with a mean."""
VerdictArray = NDArray[np.str_]
"""One verdict per image, (N,); empty if it was not read."""


def measure_method(held: HeldOutLogits, aim: float = TARGET_RATE) -> HeldOutMetrics:
    """Compute all metrics of one method.

    Args:
        held: its logits.
        aim: target false-positive rate on an unseen collection.

    Raises:
        SettingsError: there are too few real images for a metric.
    """
    calibrations = {fold: calibrate(held, [other for other in held.folds if other != fold], aim) for fold in held.folds}
    verdicts = {delivery: held_out_verdicts(held, calibrations, delivery) for delivery in held.logits}
    areas = [
        area
        for delivery in held.logits
        for content in (_contents(held) if delivery in held.main_deliveries else [""])
        for area in generator_aurocs(held, delivery, verdicts[delivery], content)
    ]
    whole_N = held.facts["artefact"] == ""
    return HeldOutMetrics(
        images=int(whole_N.sum()),
        unread=held.unread,
        folds=tuple(_names(held.facts["collection"][held.facts["fold"] == fold]) for fold in held.folds),
        areas=tuple(areas),
        means=tuple(mean_aurocs(areas)),
        pairs=tuple(pair_aurocs(held)),
        detection=tuple(found for delivery in held.main_deliveries for found in detection_rates(held, delivery)),
        collections=tuple(
            one for delivery in held.main_deliveries for one in collection_rates(held, delivery, verdicts[delivery])
        ),
        verdicts=tuple(
            rates
            for delivery in held.main_deliveries
            for content in _contents(held)
            for rates in verdict_rates(held, delivery, verdicts[delivery], content=content, aim=aim)
        ),
        deliveries=tuple(perturbation_costs(held, verdicts)),
        aim=aim,
        estimate=HeldOutReals.of(held, held.folds).choose_share(aim),
        calibration=calibrate(held, held.folds, aim),
    )


def held_out_verdicts(held: HeldOutLogits, calibrations: Mapping[int, Calibration], delivery: str) -> VerdictArray:
    """Determine the verdict of each image at the thresholds of the other folds."""
    logit_N = held.logits[delivery]
    verdict_N = np.full(len(logit_N), "", "<U9")
    for fold, calibration in calibrations.items():
        own_N = (held.facts["fold"] == fold) & np.isfinite(logit_N)
        verdict_N[own_N] = calibration.verdict(logit_N[own_N])
    return verdict_N


def generator_aurocs(
    held: HeldOutLogits, delivery: str, verdict_N: VerdictArray, content: str = ""
) -> Iterator[GeneratorAuroc]:
    """Measure each generator against the real images of its own fold, in order of name.

    Args:
        held: a method's logits.
        delivery: name of the perturbation.
        verdict_N: verdicts under it.
        content: content of the images of both classes; empty for all.

    Yields:
        Its metrics; nothing if the fold holds out no such real images.
    """
    logit_N = held.logits[delivery]
    fakes_N = held.of_class(1, delivery, content=content)
    for name in _names(held.name_N[fakes_N]):
        own_N = fakes_N & (held.name_N == name)
        reals_N = held.of_class(0, delivery, fold=int(held.facts["fold"][own_N][0]), content=content)
        if reals_N.any():
            both = logit_N[reals_N], logit_N[own_N]
            area = auroc(*both)
            yield GeneratorAuroc(
                generator=name,
                delivery=delivery,
                content=content,
                fakes=len(both[1]),
                reals=len(both[0]),
                auroc=area,
                interval=auroc_interval(area, *map(len, both)),
                precision=average_precision(*both),
                found=rate_of(verdict_N[own_N] == "generated"),
            )


def mean_aurocs(areas: Sequence[GeneratorAuroc]) -> Iterator[MeanAuroc]:
    """Average over the generators with enough images, for each perturbation and content."""
    for delivery, content in dict.fromkeys((area.delivery, area.content) for area in areas):
        own = [area for area in areas if (area.delivery, area.content) == (delivery, content) and area.counts]
        if own:
            ranked = sorted(own, key=lambda area: area.auroc)
            yield MeanAuroc(
                delivery=delivery,
                content=content,
                generators=len(own),
                auroc=float(np.mean([area.auroc for area in own])),
                lowest=ranked[0].auroc,
                worst=tuple(area.generator for area in ranked[:WORST_NAMED]),
                precision=float(np.mean([area.precision for area in own])),
                lowest_precision=min(area.precision for area in own),
            )


def pair_aurocs(held: HeldOutLogits) -> Iterator[PairAuroc]:
    """Measure photographs of each source against images made from them, under every perturbation that has both."""
    facts = held.facts
    own_N = np.array(
        [f"{collection}\n{group}" for collection, group in zip(facts["collection"], facts["group"], strict=True)]
    )
    for artefact in _names(facts["artefact"][facts["artefact"] != ""]):
        for delivery, logit_N in held.logits.items():
            taken_N = held.of_class(0, delivery) & (facts["group"] != "")
            made_N = (facts["artefact"] == artefact) & np.isfinite(logit_N) & np.isin(own_N, own_N[taken_N])
            for source in _names(held.name_N[made_N]):
                of_it_N = made_N & (held.name_N == source)
                both = logit_N[taken_N & np.isin(own_N, own_N[of_it_N])], logit_N[of_it_N]
                area = auroc(*both)
                bounds = auroc_interval(area, *map(len, both))
                yield PairAuroc(
                    source=source, artefact=artefact, delivery=delivery, pairs=len(both[1]), auroc=area, interval=bounds
                )


def detection_rates(held: HeldOutLogits, delivery: str) -> Iterator[DetectionRate]:
    """Measure detection rates at fixed false-positive rates, skipping rates for which the other folds are too small."""
    logit_N, fold_N = held.logits[delivery], held.facts["fold"]
    reals_N, fakes_N = (held.of_class(label, delivery) for label in (0, 1))
    for allowed in FALSE_POSITIVE_RATES:
        if any(allowed * (reals_N & (fold_N != fold)).sum() < 1 for fold in held.folds):
            continue
        bound_N = np.empty(len(logit_N))
        for fold in held.folds:
            bound_N[fold_N == fold] = threshold_for(logit_N[reals_N & (fold_N != fold)], allowed)[0]
        same = threshold_for(logit_N[reals_N], allowed)[0]
        found, alarms = (rate_of((logit_N >= bound_N)[own_N]) for own_N in (fakes_N, reals_N))
        flattered = rate_of(logit_N[fakes_N] >= same)
        yield DetectionRate(delivery=delivery, allowed=allowed, found=found, alarms=alarms, same_set=flattered)


def collection_rates(held: HeldOutLogits, delivery: str, verdict_N: VerdictArray) -> Iterator[CollectionRates]:
    """Count the verdicts on the real images of each collection, in order of name."""
    reals_N = held.of_class(0, delivery)
    for name in _names(held.name_N[reals_N]):
        own_N = verdict_N[reals_N & (held.name_N == name)]
        alarms, unsure = rate_of(own_N == "generated"), rate_of(own_N == "unsure")
        yield CollectionRates(collection=name, delivery=delivery, alarms=alarms, unsure=unsure)


def verdict_rates(
    held: HeldOutLogits, delivery: str, verdict_N: VerdictArray, *, content: str, aim: float
) -> Iterator[VerdictRates]:
    """Count the verdicts on all images of a content, unless it has too few images."""
    reals_N, fakes_N = (held.of_class(label, delivery, content=content) for label in (0, 1))
    if content and min(reals_N.sum(), fakes_N.sum()) < MIN_IMAGES:
        return
    alarm_R, name_R = verdict_N[reals_N] == "generated", held.name_N[reals_N]
    over_C = np.array([alarm_R[name_R == name].mean() > aim for name in np.unique(name_R)])
    yield VerdictRates(
        delivery=delivery,
        content=content,
        alarms=rate_of(alarm_R),
        mean_alarms=mean_rate(alarm_R, name_R),
        above_aim=rate_of(over_C),
        unsure_reals=_called(verdict_N[reals_N], "unsure"),
        found=_called(verdict_N[fakes_N], "generated"),
        unsure_fakes=_called(verdict_N[fakes_N], "unsure"),
        missed=_called(verdict_N[fakes_N], "real"),
    )


def perturbation_costs(held: HeldOutLogits, verdicts: Mapping[str, VerdictArray]) -> Iterator[PerturbationCost]:
    """Compare each perturbation with the same images as shipped, if any generator has enough images in both."""
    for delivery in held.logits:
        both_N = (
            np.isfinite(held.logits[ORIGINAL]) & np.isfinite(held.logits[delivery]) & (held.facts["artefact"] == "")
        )
        if delivery == ORIGINAL or not both_N.any():
            continue
        common = replace(
            held, logits={name: np.where(both_N, held.logits[name], np.nan) for name in (ORIGINAL, delivery)}
        )
        before, after = (
            {area.generator: area.auroc for area in generator_aurocs(common, name, verdicts[name]) if area.counts}
            for name in (ORIGINAL, delivery)
        )
        if not before:
            continue
        lost = {name: before[name] - after[name] for name in before}
        old_N, new_N = (verdicts[name][both_N] for name in (ORIGINAL, delivery))
        worst = max(lost, key=lambda name: lost[name])
        yield PerturbationCost(
            delivery=delivery,
            images=int(both_N.sum()),
            cost=float(np.mean(list(lost.values()))),
            worst=(worst, lost[worst]),
            changed=rate_of(old_N != new_N),
            reversed=rate_of((old_N != new_N) & (old_N != "unsure") & (new_N != "unsure")),
            alarms=_called(verdicts[delivery][common.of_class(0, delivery)], "generated"),
        )


def _called(verdict_N: VerdictArray, verdict: str) -> Rate:
    return rate_of(verdict_N == verdict)


def _contents(held: HeldOutLogits) -> list[str]:
    """List the contents to evaluate: all together (empty), then each known content."""
    return ["", *_names(held.facts["content"][held.facts["content"] != ""])]


def _names(name_N: NDArray[np.generic]) -> tuple[str, ...]:
    """List each name once, in order; str (N,)."""
    return tuple(np.unique(name_N).tolist())
