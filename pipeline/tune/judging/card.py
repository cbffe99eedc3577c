"""The card: a ladder as Markdown, the worst first, for a model card to hold as it is."""

from collections.abc import Callable, Iterable

from pipeline.tune.judging.comparison import Cost, MethodComparison
from pipeline.tune.judging.crossvalidation import FALSE_POSITIVE_RATES
from pipeline.tune.judging.held_out import MIN_IMAGES
from pipeline.tune.judging.held_out_metrics import CollectionRates, DetectionRate, HeldOutMetrics, VerdictRates
from pipeline.tune.judging.markdown import NOTHING, counts, percent, rate, span, table
from pipeline.tune.judging.perturbation import ALIGNED, NATIVE, SHIPPED

NAMED = 3
"""Generators, and collections of reals, that the first lines name."""


def card(ladder: MethodComparison, method: str) -> str:
    """Write what a method does on collections that it never saw, and the ladder that it stands on.

    Args:
        ladder: all methods.
        method: the one that is shipped.

    Returns:
        Markdown that ends with a line feed.
    """
    unseen = ladder.methods[method]
    parts = (
        _worst(unseen),
        _how(unseen),
        _summary(unseen),
        "## The methods beside each other",
        _ladder(ladder, method),
        "## Each generator",
        _generators(unseen),
        "## The same content in both classes",
        _contents(unseen),
        "## Each collection of real images",
        _reals(unseen),
        "## Photographs against what was made of them",
        _pairs(unseen),
        "## What a delivery costs",
        _deliveries(unseen),
        "## The thresholds",
        _rule(unseen),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _worst(unseen: HeldOutMetrics) -> str:
    """Name what the detector is worst at."""
    delivery = _first(unseen)
    areas = sorted(
        (one for one in unseen.areas if (one.delivery, one.content) == (delivery, "")), key=lambda one: one.auroc
    )
    reals = sorted(_of(unseen.collections, delivery), key=lambda one: -one.alarms.share)
    fakes = ", ".join(f"{one.generator} {one.auroc:.3f} ({one.fakes} images)" for one in areas[:NAMED])
    named = ", ".join(f"{one.collection} {counts(one.alarms)}" for one in reals[:NAMED] if one.alarms.hits)
    called = unseen.verdicts_of(delivery)
    over = f" {called.above_aim.hits} of {called.above_aim.images} collections lie above {percent(unseen.aim)}."
    return (
        f"**Worst on collections that it never saw ({delivery}).** Generators, by AUROC: {fakes}. Real images called "
        f"`generated`: {named or 'none'}.{over}"
    )


def _how(unseen: HeldOutMetrics) -> str:
    """Say how it was measured."""
    lost = f" {unseen.unread:,} pictures could not be read and are not counted." if unseen.unread else ""
    folds = "; ".join(f"({number}) {', '.join(names)}" for number, names in enumerate(unseen.folds, 1))
    return (
        f"{unseen.images:,} images in {len(unseen.folds)} folds, each of whole collections of both classes; every "
        "image was scored by a detector of the same recipe whose training saw nothing of its fold, and is judged "
        "against images of its own fold, at thresholds that the other folds set. Intervals are 95 %: exact "
        "(Clopper-Pearson) for shares, Newcombe's for AUROC; they take images for independent and say nothing of other "
        "collections. "
        f"Generators, and collections of reals, of fewer than {MIN_IMAGES} images are judged together.{lost} "
        f"Folds: {folds}."
    )


def _summary(unseen: HeldOutMetrics) -> str:
    """Lay out everything that is told of all images together, a column a delivery."""
    names = _judged(unseen)

    def told(label: str, write: Callable[[VerdictRates], str]) -> list[str]:
        return [label, *(write(unseen.verdicts_of(name)) for name in names)]

    lines = [
        ["AUROC, mean over generators / lowest", *(_mean(unseen, name) for name in names)],
        ["average precision, mean / lowest", *(_precision(unseen, name) for name in names)],
        told("real images called `generated`", lambda one: rate(one.alarms)),
        told("the same, each collection weighing alike", lambda one: percent(one.mean_alarms)),
        told(f"collections above {percent(unseen.aim)}", lambda one: rate(one.above_aim)),
        told("real images called `unsure`", lambda one: rate(one.unsure_reals)),
        told("generated images called `generated`", lambda one: rate(one.found)),
        told("generated images called `unsure`", lambda one: rate(one.unsure_fakes)),
        told("generated images called `real`", lambda one: rate(one.missed)),
    ]
    for allowed in FALSE_POSITIVE_RATES:
        found = [_found(unseen, name, allowed) for name in names]
        at = f"found at {percent(allowed)} false positives"
        lines += [
            [f"{at}, threshold of the other folds", *(rate(one.found) if one else NOTHING for one in found)],
            ["… real images above it", *(rate(one.alarms) if one else NOTHING for one in found)],
            [f"{at}, threshold on the same images", *(rate(one.same_set) if one else NOTHING for one in found)],
        ]
    return table(["", *names], lines)


def _ladder(ladder: MethodComparison, method: str) -> str:
    """Lay out the methods."""
    head = [
        *("method", "parameters", "blocks", "ms an image", "training, s a fold"),
        *("AUROC shipped, mean / lowest", "aligned, mean / lowest", "generators better than the first"),
        *("reals called `generated`", "collections alike", "fakes called `generated`", "found at 1 %", "pairs"),
    ]
    lines = []
    for name, unseen in ladder.methods.items():
        cost, delivery = ladder.costs[name], _first(unseen)
        called, found = unseen.verdicts_of(delivery), _found(unseen, delivery, FALSE_POSITIVE_RATES[0])
        better, among = ladder.better_than_first(name, delivery)
        lines.append(
            [
                f"**{name}** (shipped)" if name == method else name,
                *_cost(cost),
                _mean(unseen, SHIPPED),
                _mean(unseen, ALIGNED),
                f"{better} of {among}",
                rate(called.alarms),
                percent(called.mean_alarms),
                rate(called.found),
                rate(found.found) if found else NOTHING,
                _paired(unseen),
            ]
        )
    measured = f" Time: {ladder.measured}." if ladder.measured else ""
    first = _first(ladder.methods[method])
    note = f"Verdicts, and what is found at 1 % of the other folds' reals: {first}; pairs: {NATIVE}, if so judged."
    return f"{table(head, lines)}\n\n{note}{measured}"


def _generators(unseen: HeldOutMetrics) -> str:
    """Lay out the generators, the worst first."""
    names = _judged(unseen)
    areas = {(one.generator, one.delivery): one for one in unseen.areas if not one.content}
    ranked = sorted({name for name, _ in areas}, key=lambda name: (areas[name, _first(unseen)].auroc, name))
    lines = []
    for name in ranked:
        own = [areas.get((name, delivery)) for delivery in names]
        first = areas[name, _first(unseen)]
        cells = [f"{one.auroc:.3f} ({span(one.interval)})" if one else NOTHING for one in own]
        lines.append([name, f"{first.fakes}", f"{first.reals}", *cells, f"{first.precision:.3f}", rate(first.found)])
    last = f"{_first(unseen)}: "
    return table(
        [
            "generator",
            "images",
            "reals",
            *(f"AUROC {name}" for name in names),
            f"{last}AP",
            f"{last}called `generated`",
        ],
        lines,
    )


def _contents(unseen: HeldOutMetrics) -> str:
    """Lay out each content that both classes have."""
    lines = []
    for one in unseen.means:
        if one.content:
            called = unseen.verdicts_of(one.delivery, one.content)
            rates = [rate(called.alarms), rate(called.found)]
            areas = f"{one.auroc:.3f} / {one.lowest:.3f} ({one.worst[0]})"
            lines.append([one.content, one.delivery, f"{one.generators}", areas, *rates])
    head = ["content", "delivery", "generators", "AUROC, mean / lowest", "reals called `generated`"]
    return table([*head, "fakes called `generated`"], lines)


def _reals(unseen: HeldOutMetrics) -> str:
    """Lay out the collections of reals, the worst first."""
    names = _judged(unseen)
    known = {(one.collection, one.delivery): one for one in unseen.collections}
    first = _first(unseen)
    ranked = sorted(_of(unseen.collections, first), key=lambda one: (-one.alarms.share, one.collection))
    lines = []
    for one in ranked:
        own = [known.get((one.collection, name)) for name in names]
        cells = [rate(found.alarms) if found else NOTHING for found in own]
        lines.append([one.collection, f"{one.alarms.images}", *cells, rate(one.unsure)])
    head = [f"called `generated`, {name}" for name in names]
    return table(["collection", "images", *head, f"called `unsure`, {first}"], lines)


def _pairs(unseen: HeldOutMetrics) -> str:
    """Lay out the pairs, and their mean over sources."""
    lines = []
    for kind, delivery in dict.fromkeys((one.artefact, one.delivery) for one in unseen.pairs):
        own = [one for one in unseen.pairs if (one.artefact, one.delivery) == (kind, delivery)]
        enough = [one.auroc for one in own if one.pairs >= MIN_IMAGES]
        if len(enough) > 1:
            mean = f"**{sum(enough) / len(enough):.3f}**, lowest {min(enough):.3f}"
            lines.append([kind, delivery, f"mean of {len(enough)} sources", NOTHING, mean])
        cells = ((one.source, f"{one.pairs}", f"{one.auroc:.3f} ({span(one.interval)})") for one in own)
        lines += [[kind, delivery, *cell] for cell in cells]
    return table(["passed through", "delivery", "source", "pairs", "AUROC"], lines)


def _deliveries(unseen: HeldOutMetrics) -> str:
    """Lay out what each delivery costs, the dearest first."""
    head = ["delivery", "images", "AUROC, mean / lowest", "mean less than as shipped", "loses most", "another verdict"]
    lines = [
        [
            *(one.delivery, f"{one.images:,}", _mean(unseen, one.delivery), f"{one.cost:+.3f}"),
            *(f"{one.worst[0]} {one.worst[1]:+.3f}", rate(one.changed), rate(one.reversed), rate(one.alarms)),
        ]
        for one in sorted(unseen.deliveries, key=lambda one: -one.cost)
    ]
    return table([*head, "real to generated or back", "reals called `generated`"], lines)


def _rule(unseen: HeldOutMetrics) -> str:
    """Say where the thresholds stand and why."""
    calibration, names, estimate = unseen.calibration, _judged(unseen), unseen.estimate
    collections = len(_of(unseen.collections, SHIPPED))
    again = max(unseen.verdicts_of(name).mean_alarms for name in names)
    reached = "" if estimate.high <= unseen.aim else "; no share reaches it, so none may lie above"
    sentences = (
        f"`generated_above` {calibration.generated_above:.3f}, `real_below` {calibration.real_below:.3f} (logits),",
        f"temperature {calibration.temperature:.3f}, bias {calibration.bias:.3f}: from all held-out images.",
        f"The rule: of these reals, each collection weighing alike, {percent(estimate.share)} may lie above, in any of",
        f"{', '.join(names)}. It is the largest share at which the mean over collections, each fold judged at the",
        f"threshold of the others, and its standard error together stay at {percent(unseen.aim)} or below",
        f"({percent(estimate.mean)} + {percent(estimate.error)}{reached}). With that choice made anew without each",
        f"fold, as in the tables above, it is {percent(again)}: that is what to expect of a collection never seen. It",
        f"is no bound: after {collections} collections none below 1 in {collections + 1} can be given for the next",
        "one, however many images they have.",
    )
    return " ".join(sentences)


def _judged(unseen: HeldOutMetrics) -> list[str]:
    """List the deliveries that are told in full."""
    return list(dict.fromkeys(one.delivery for one in unseen.verdicts))


def _first(unseen: HeldOutMetrics) -> str:
    """Choose the delivery that is told where only one is: aligned, for there the file's form gives nothing away."""
    return ALIGNED if ALIGNED in _judged(unseen) else SHIPPED


def _of(rows: Iterable[CollectionRates], delivery: str) -> list[CollectionRates]:
    return [one for one in rows if one.delivery == delivery]


def _found(unseen: HeldOutMetrics, delivery: str, allowed: float) -> DetectionRate | None:
    return next((one for one in unseen.detection if (one.delivery, one.allowed) == (delivery, allowed)), None)


def _mean(unseen: HeldOutMetrics, delivery: str) -> str:
    mean = unseen.mean(delivery)
    return f"{mean.auroc:.3f} / {mean.lowest:.3f}" if mean else NOTHING


def _precision(unseen: HeldOutMetrics, delivery: str) -> str:
    mean = unseen.mean(delivery)
    return f"{mean.precision:.3f} / {mean.lowest_precision:.3f}" if mean else NOTHING


def _paired(unseen: HeldOutMetrics) -> str:
    """Write the mean over sources of each kind of pairs, at their own scale where they were judged so."""
    means = []
    for artefact in dict.fromkeys(one.artefact for one in unseen.pairs):
        own = [one for one in unseen.pairs if one.artefact == artefact and one.pairs >= MIN_IMAGES]
        near = [one.auroc for one in own if one.delivery == NATIVE] or [one.auroc for one in own]
        means += [f"{artefact} {sum(near) / len(near):.3f}"] if near else []
    return ", ".join(means) or NOTHING


def _cost(cost: Cost) -> list[str]:
    """Write what a method costs: parameters, blocks, milliseconds, seconds."""
    blocks = f"{cost.blocks}" if cost.passes == 1 else f"{cost.passes} x {cost.blocks}"
    times = [f"{time:,.0f}" if time is not None else NOTHING for time in (cost.milliseconds, cost.training_seconds)]
    return [f"{cost.parameters:,}", blocks, *times]
