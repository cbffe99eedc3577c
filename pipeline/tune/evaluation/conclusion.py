"""Conclusion: a summary of an evaluation in a few sentences, and a glossary of its terms."""

from pipeline.tune.evaluation.evaluation_result import Evaluation
from pipeline.tune.evaluation.logits import OVERALL

NEAR_CHANCE = 0.6
"""An AUROC below this is called close to guessing."""

GLOSSARY = {
    "AUROC": "the chance that a generated image gets a higher score than a real one; 0.5 is guessing, 1 is perfect. It "
    "does not depend on a threshold.",
    "AP": "average precision: the area under the precision-recall curve; it depends on the ratio of generated to real "
    "images.",
    "threshold": "the score from which on an image is called generated. It was set on real images of the named "
    "collection; on other images the false-positive rate may be quite different.",
    "found": "the share of generated images that are called generated (recall, true-positive rate).",
    "false positives": "the share of real images that are called generated.",
    "unsure": "the score is between the two thresholds: called neither generated nor real.",
    "95 %": "95 % confidence interval; exact (Clopper-Pearson) for shares, Newcombe's for AUROC. It accounts for the "
    "sample size only, and says nothing about images of another kind.",
    "perturbation": "what was done to every image before it was scored; original is nothing, aligned "
    "gives all images one size and one JPEG quality, so that file properties do not give the class away.",
    "never seen": "none of these images was used to train or calibrate the version, by location or content.",
    "seen in training": "images that the version was trained, stopped or calibrated on; their metrics are too good.",
    "reconstructions": "photographs of these samples that were passed through an autoencoder, compared with those "
    "photographs; they are not part of any mean over generators.",
    "ECE, Brier": "expected calibration error and Brier score of the probabilities, with both classes weighted "
    "equally; 0 is perfect.",
    "routing": "the mean weight that the router gives each expert.",
}
"""The terms of a report."""


def conclusion(evaluation: Evaluation) -> str:
    """Summarise an evaluation in a few sentences."""
    delivery = evaluation.deliveries[0]
    everyone = evaluation.metrics(OVERALL, delivery)
    rows = [row for row in evaluation.rows if row.delivery == delivery]
    chosen = [row for row in rows if not row.reconstruction] or rows
    worst = min(chosen, key=lambda row: row.auroc)
    near = ", close to guessing" if worst.auroc < NEAR_CHANCE else ""
    lowest = f", lowest {worst.auroc:.3f} ({worst.generator}{near})" if len(chosen) > 1 else near
    return (
        f"{_which(evaluation)}{everyone.reals:,} real and {everyone.fakes:,} generated images of {len(chosen):,} "
        f"generators: AUROC {evaluation.mean('auroc', delivery):.3f} on average{lowest}. The thresholds were set on "
        f"{evaluation.collection}; here {everyone.alarms.hits:,} of {everyone.alarms.images:,} real images are called "
        f"generated ({everyone.alarms.share:.1%}, 95 %: {everyone.alarms.low:.1%} to {everyone.alarms.high:.1%}) and "
        f"{everyone.found.share:.1%} of the generated images are found."
    )


def _which(evaluation: Evaluation) -> str:
    """Say which images these are."""
    if evaluation.which == "seen":
        return "Not a forecast, since every image here was used to train or calibrate the version: "
    if evaluation.which == "unseen":
        return "On images that the version was not trained or calibrated on: "
    named = f" (judging by name, {', '.join(evaluation.teachers)})" if evaluation.teachers else ""
    return f"It is not known which of these images the version was trained on{named}: "
