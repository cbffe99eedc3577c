"""The conclusion: what an evaluation comes to, in words that a reader needs no table for, and what its terms mean."""

from pipeline.tune.judging.evaluation import Evaluation
from pipeline.tune.judging.logits import OVERALL

GUESSING = 0.6
"""An AUROC below this is called near guessing."""

GLOSSARY = {
    "AUROC": "the chance that a generated image gets a higher score than a real one; 0.5 is guessing, 1 is perfect. It "
    "does not depend on any threshold.",
    "AP": "average precision: the share of generated images among those that score highest, averaged over all that are "
    "to be found; it depends on how many reals and fakes there are.",
    "threshold": "the score from which on an image is called generated. It was measured on real images of one "
    "collection, which is named; on other images its share of false positives may be quite another.",
    "found": "the share of generated images that are called generated.",
    "false positives": "the share of real images that are called generated.",
    "unsure": "between both thresholds: neither called generated nor real.",
    "95 %": "the interval that holds the true figure 95 times in 100, were other images of the same kind drawn; exact "
    "(Clopper-Pearson) for shares, Newcombe's for AUROC. It says nothing about images of another kind.",
    "delivery": "what was done to every image before it was scored; shipped is nothing, aligned brings both classes to "
    "one size and one JPEG quality, so that the files' form gives nothing away.",
    "never seen": "no image here taught the version, by its place or its content.",
    "seen in training": "images that the version was trained, stopped or calibrated on; they flatter it.",
    "reconstructions": "photographs of these samples passed through an autoencoder, judged against those photographs; "
    "they count in no mean over generators.",
    "ECE, Brier": "how far probabilities lie from what came true, at even odds of both classes; 0 is perfect.",
    "routing": "the mean weight that the detector gives each of its experts.",
}
"""The terms of a report, and what they mean."""


def conclusion(evaluation: Evaluation) -> str:
    """Say in a few sentences what an evaluation comes to."""
    delivery = evaluation.deliveries[0]
    everyone = evaluation.metrics(OVERALL, delivery)
    rows = [row for row in evaluation.rows if row.delivery == delivery]
    chosen = [row for row in rows if not row.reconstruction] or rows
    worst = min(chosen, key=lambda row: row.auroc)
    near = ", which is near guessing" if worst.auroc < GUESSING else ""
    lowest = f", lowest {worst.auroc:.3f} ({worst.generator}{near})" if len(chosen) > 1 else near
    return (
        f"{_which(evaluation)}{everyone.reals:,} real and {everyone.fakes:,} generated images of {len(chosen):,} "
        f"generators: AUROC {evaluation.mean('auroc', delivery):.3f} on average{lowest}. Its thresholds are from "
        f"{evaluation.collection}; here {everyone.alarms.hits:,} of {everyone.alarms.images:,} reals are called "
        f"generated ({everyone.alarms.share:.1%}, 95 %: {everyone.alarms.low:.1%} to {everyone.alarms.high:.1%}) and "
        f"{everyone.found.share:.1%} of the generated images are found."
    )


def _which(evaluation: Evaluation) -> str:
    """Begin with which images these are."""
    if evaluation.which == "seen":
        return "No forecast, for every image here taught the version: "
    if evaluation.which == "unseen":
        return "On images that the version never saw: "
    named = f" (by their names {', '.join(evaluation.teachers)} did)" if evaluation.teachers else ""
    return f"It is not known which of these images taught the version{named}: "
