"""Model card: a comparison of methods as Markdown, with the worst results first."""

from collections.abc import Callable, Iterable

from pipeline.tune.evaluation.comparison import Cost, MethodComparison
from pipeline.tune.evaluation.crossvalidation import FALSE_POSITIVE_RATES
from pipeline.tune.evaluation.held_out_logits import MIN_IMAGES
from pipeline.tune.evaluation.held_out_metrics import CollectionRates, DetectionRate, HeldOutMetrics, VerdictRates
from pipeline.tune.evaluation.markdown import MISSING, counts, interval, percent, rate, table
from pipeline.tune.evaluation.perturbation import ALIGNED, NATIVE, ORIGINAL, shown_name
from pipeline.tune.evaluation.threshold_rule import TRIED_FRACTIONS

WORST_NAMED = 3
"""Number of generators, and of real collections, named in the first lines."""


def model_card(comparison: MethodComparison, method: str) -> str:
    """Format the held-out metrics of a method, and its comparison with the others.

    Args:
        comparison: all methods.
        method: the shipped one.

    Returns:
        Markdown that ends with a line feed.
    """
    metrics = comparison.methods[method]
    parts = (
        _worst(metrics),
        _how(metrics),
        _summary(metrics),
        "## Comparison of the methods",
        _methods(comparison, method),
        "## Each generator",
        _generators(metrics),
        "## By content",
        _contents(metrics),
        "## Each collection of real images",
        _reals(metrics),
        "## Photographs against images made from them",
        _pairs(metrics),
        "## Effect of perturbations",
        _deliveries(metrics),
        "## The thresholds",
        _rule(metrics),
        "## The folds",
        _folds(metrics),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _worst(metrics: HeldOutMetrics) -> str:
    """List the worst generators and collections."""
    delivery = _first(metrics)
    areas = sorted(
        (one for one in metrics.areas if (one.delivery, one.content) == (delivery, "")), key=lambda one: one.auroc
    )
    reals = sorted(_of(metrics.collections, delivery), key=lambda one: -one.alarms.share)
    fakes = ", ".join(f"{one.generator} {one.auroc:.3f} ({one.fakes} images)" for one in areas[:WORST_NAMED])
    named = ", ".join(f"{one.collection} {counts(one.alarms)}" for one in reals[:WORST_NAMED] if one.alarms.hits)
    above = metrics.verdicts_of(delivery).above_aim
    over = f" Above {percent(metrics.aim)}: {above.hits} of {above.images} collections."
    return (
        f"**Worst results on held-out collections ({shown_name(delivery)}).** Generators, by AUROC: {fakes}. Real "
        f"images called `generated`: {named or 'none'}.{over}"
    )


def _how(metrics: HeldOutMetrics) -> str:
    """Describe how the metrics were measured."""
    lost = f" {metrics.unread:,} pictures could not be read and are not counted." if metrics.unread else ""
    return (
        f"{metrics.images:,} images in {len(metrics.folds)} [folds](#the-folds), each of whole collections of both "
        "classes; every image was scored by a detector of the same recipe that was trained without its fold, and is "
        "compared with images of its own fold, at the thresholds of the other folds. Intervals are 95 %: exact "
        "(Clopper-Pearson) for shares, Newcombe's for AUROC; they assume independent images and say nothing about "
        f"other collections. Several generators of one collection with fewer than {MIN_IMAGES} images each are pooled, "
        "and so are several such collections of real images; a single one keeps its row. Rows of generators with fewer "
        f"than {MIN_IMAGES} images do not count in means and minima of AUROC.{lost}"
    )


def _summary(metrics: HeldOutMetrics) -> str:
    """Format the metrics of all images together, with a column per perturbation."""
    names = _perturbations(metrics)

    def row(label: str, write: Callable[[VerdictRates], str]) -> list[str]:
        """Format a metric under each perturbation."""
        return [label, *(write(metrics.verdicts_of(name)) for name in names)]

    lines = [
        ["AUROC, mean over generators / lowest", *(_mean(metrics, name) for name in names)],
        ["average precision, mean / lowest", *(_precision(metrics, name) for name in names)],
        row("real images called `generated`", lambda one: rate(one.alarms)),
        row("the same, mean over collections", lambda one: percent(one.mean_alarms)),
        row(f"collections above {percent(metrics.aim)}", lambda one: rate(one.above_aim)),
        row("real images called `unsure`", lambda one: rate(one.unsure_reals)),
        row("generated images called `generated`", lambda one: rate(one.found)),
        row("generated images called `unsure`", lambda one: rate(one.unsure_fakes)),
        row("generated images called `real`", lambda one: rate(one.missed)),
    ]
    for allowed in FALSE_POSITIVE_RATES:
        found = [_found(metrics, name, allowed) for name in names]
        at = f"found at {percent(allowed)} false positives"
        lines += [
            [f"{at}, threshold of the other folds", *(rate(one.found) if one else MISSING for one in found)],
            ["… real images above that threshold", *(rate(one.alarms) if one else MISSING for one in found)],
            [f"{at}, threshold on the same images", *(rate(one.same_set) if one else MISSING for one in found)],
        ]
    return table(["", *map(shown_name, names)], lines)


def _methods(comparison: MethodComparison, method: str) -> str:
    """Format the comparison of the methods."""
    head = [
        *("method", "parameters", "blocks", "ms an image", "training, s a fold"),
        *("AUROC original, mean / lowest", "aligned, mean / lowest", "generators better than the first"),
        *("reals called `generated`", "mean over collections", "fakes called `generated`", "found at 1 %", "pairs"),
    ]
    lines = []
    for name, metrics in comparison.methods.items():
        cost, delivery = comparison.costs[name], _first(metrics)
        called, found = metrics.verdicts_of(delivery), _found(metrics, delivery, FALSE_POSITIVE_RATES[0])
        better, among = comparison.better_than_first(name, delivery)
        lines.append(
            [
                f"**{name}** (this card)" if name == method else name,
                *_cost(cost),
                _mean(metrics, ORIGINAL),
                _mean(metrics, ALIGNED),
                f"{better} of {among}",
                rate(called.alarms),
                percent(called.mean_alarms),
                rate(called.found),
                rate(found.found) if found else MISSING,
                _paired(metrics),
            ]
        )
    measured = f" Time: {comparison.measured}." if comparison.measured else ""
    first = _first(comparison.methods[method])
    note = (
        f"Verdicts, and detection at a false-positive rate of 1 %: {shown_name(first)}; pairs: {NATIVE}, if evaluated."
    )
    return f"{table(head, lines)}\n\n{note}{measured}"


def _generators(metrics: HeldOutMetrics) -> str:
    """Format the generators, the worst first."""
    names = _perturbations(metrics)
    areas = {(one.generator, one.delivery): one for one in metrics.areas if not one.content}
    ranked = sorted({name for name, _ in areas}, key=lambda name: (areas[name, _first(metrics)].auroc, name))
    lines = []
    for name in ranked:
        own = [areas.get((name, delivery)) for delivery in names]
        first = areas[name, _first(metrics)]
        cells = [f"{one.auroc:.3f} ({interval(one.interval)})" if one else MISSING for one in own]
        lines.append([name, f"{first.fakes}", f"{first.reals}", *cells, f"{first.precision:.3f}", rate(first.found)])
    last = f"{shown_name(_first(metrics))}: "
    return table(
        [
            "generator",
            "images",
            "reals",
            *(f"AUROC {shown_name(name)}" for name in names),
            f"{last}AP",
            f"{last}called `generated`",
        ],
        lines,
    )


def _contents(metrics: HeldOutMetrics) -> str:
    """Format each content that both classes have."""
    lines = []
    for one in metrics.means:
        if one.content:
            called = metrics.verdicts_of(one.delivery, one.content)
            rates = [rate(called.alarms), rate(called.found)]
            areas = f"{one.auroc:.3f} / {one.lowest:.3f} ({one.worst[0]})"
            lines.append([one.content, shown_name(one.delivery), f"{one.generators}", areas, *rates])
    head = ["content", "perturbation", "generators", "AUROC, mean / lowest", "reals called `generated`"]
    return table([*head, "fakes called `generated`"], lines)


def _reals(metrics: HeldOutMetrics) -> str:
    """Format the real collections, the worst first."""
    names = _perturbations(metrics)
    known = {(one.collection, one.delivery): one for one in metrics.collections}
    first = _first(metrics)
    ranked = sorted(_of(metrics.collections, first), key=lambda one: (-one.alarms.share, one.collection))
    lines = []
    for one in ranked:
        own = [known.get((one.collection, name)) for name in names]
        cells = [rate(found.alarms) if found else MISSING for found in own]
        lines.append([one.collection, f"{one.alarms.images}", *cells, rate(one.unsure)])
    head = [f"called `generated`, {shown_name(name)}" for name in names]
    return table(["collection", "images", *head, f"called `unsure`, {shown_name(first)}"], lines)


def _pairs(metrics: HeldOutMetrics) -> str:
    """Format the pairs, and their mean over sources."""
    lines = []
    for kind, delivery in dict.fromkeys((one.artefact, one.delivery) for one in metrics.pairs):
        own = [one for one in metrics.pairs if (one.artefact, one.delivery) == (kind, delivery)]
        enough = [one.auroc for one in own if one.pairs >= MIN_IMAGES]
        if len(enough) > 1:
            mean = f"**{sum(enough) / len(enough):.3f}**, lowest {min(enough):.3f}"
            lines.append([kind, shown_name(delivery), f"mean of {len(enough)} sources", MISSING, mean])
        cells = ((one.source, f"{one.pairs}", f"{one.auroc:.3f} ({interval(one.interval)})") for one in own)
        lines += [[kind, shown_name(delivery), *cell] for cell in cells]
    return table(["passed through", "perturbation", "source", "pairs", "AUROC"], lines)


def _deliveries(metrics: HeldOutMetrics) -> str:
    """Format the effect of each perturbation, the largest first."""
    head = ["perturbation", "images", "AUROC, mean / lowest", "drop of the mean", "largest drop", "verdict changed"]
    lines = [
        [
            *(shown_name(one.delivery), f"{one.images:,}", _mean(metrics, one.delivery), f"{one.cost:+.3f}"),
            *(f"{one.worst[0]} {one.worst[1]:+.3f}", rate(one.changed), rate(one.reversed), rate(one.alarms)),
        ]
        for one in sorted(metrics.deliveries, key=lambda one: -one.cost)
    ]
    return table([*head, "real to generated or back", "reals called `generated`"], lines)


def _rule(metrics: HeldOutMetrics) -> str:
    """Describe the thresholds and how they were set."""
    calibration, names, estimate = metrics.calibration, _perturbations(metrics), metrics.estimate
    under = ", ".join(f"*{shown_name(name)}*" for name in names)
    tried = [percent(part * metrics.aim) for part in TRIED_FRACTIONS]
    shares = f"{tried[0]}, {tried[1]}, …, {tried[-2]} and {tried[-1]}"
    collections = len(_of(metrics.collections, ORIGINAL))
    again = max(metrics.verdicts_of(name).mean_alarms for name in names)
    reached = "" if estimate.high <= metrics.aim else "; no share reaches the target, so no image may score above"
    sentences = (
        f"`generated_above` {calibration.generated_above:.3f}, `real_below` {calibration.real_below:.3f} (logits),",
        f"temperature {calibration.temperature:.3f}, bias {calibration.bias:.3f}, all fitted to the images that the",
        "folds held out. How `generated_above` is set: at most a share *s* of the real images, averaged over",
        f"collections, may score above it, under each of {under}. *s* is the largest of {shares} whose cross-validated",
        "rate (each fold at the threshold of the other folds; mean over collections plus one standard error; the worst",
        f"perturbation) is at most {percent(metrics.aim)}. Here *s* is {percent(estimate.share)}, with a rate of",
        f"{percent(estimate.mean)} + {percent(estimate.error)}{reached}. That rate is too favourable, since *s* was",
        "chosen on the same images. With *s* chosen anew for each fold from the other folds alone, as in the tables",
        f"above, it is {percent(again)}: **expect that on a collection that the detector has not seen.** It is not a",
        f"bound: with {collections} collections no bound below 1 in {collections + 1} can be given for the next one,",
        "however many images they have.",
    )
    return " ".join(sentences)


def _folds(metrics: HeldOutMetrics) -> str:
    """Format the collections that each fold holds out."""
    rows = [[f"{number}", ", ".join(names)] for number, names in enumerate(metrics.folds, 1)]
    return table(["fold", "collections held out"], rows)


def _perturbations(metrics: HeldOutMetrics) -> list[str]:
    """List the perturbations that are reported in full."""
    return list(dict.fromkeys(one.delivery for one in metrics.verdicts))


def _first(metrics: HeldOutMetrics) -> str:
    """Choose the perturbation to report where there is room for one: aligned, which hides file properties."""
    return ALIGNED if ALIGNED in _perturbations(metrics) else ORIGINAL


def _of(rows: Iterable[CollectionRates], delivery: str) -> list[CollectionRates]:
    return [one for one in rows if one.delivery == delivery]


def _found(metrics: HeldOutMetrics, delivery: str, allowed: float) -> DetectionRate | None:
    return next((one for one in metrics.detection if (one.delivery, one.allowed) == (delivery, allowed)), None)


def _mean(metrics: HeldOutMetrics, delivery: str) -> str:
    mean = metrics.mean(delivery)
    return f"{mean.auroc:.3f} / {mean.lowest:.3f}" if mean else MISSING


def _precision(metrics: HeldOutMetrics, delivery: str) -> str:
    mean = metrics.mean(delivery)
    return f"{mean.precision:.3f} / {mean.lowest_precision:.3f}" if mean else MISSING


def _paired(metrics: HeldOutMetrics) -> str:
    """Format the mean over sources of each kind of pairs, with `native` if it was evaluated."""
    means = []
    for artefact in dict.fromkeys(one.artefact for one in metrics.pairs):
        own = [one for one in metrics.pairs if one.artefact == artefact and one.pairs >= MIN_IMAGES]
        near = [one.auroc for one in own if one.delivery == NATIVE] or [one.auroc for one in own]
        means += [f"{artefact} {sum(near) / len(near):.3f}"] if near else []
    return ", ".join(means) or MISSING


def _cost(cost: Cost) -> list[str]:
    """Format the cost of a method: parameters, blocks, milliseconds, seconds."""
    blocks = f"{cost.blocks}" if cost.passes == 1 else f"{cost.passes} x {cost.blocks}"
    times = [f"{time:,.0f}" if time is not None else MISSING for time in (cost.milliseconds, cost.training_seconds)]
    return [f"{cost.parameters:,}", blocks, *times]
