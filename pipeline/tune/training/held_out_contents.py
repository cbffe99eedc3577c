"""Held-out contents: estimates what the images of a cross-validation show, so that metrics compare like with like.

Lists rarely say what a generated image shows. Without the estimate a detector that tells photographs from drawings
looks good wherever one class has more photographs.
"""

from collections.abc import Sequence

from pipeline.tune.data.clusters import contents
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.held_out_logits import image_name
from pipeline.tune.training.token_cache import TokenCache


def estimate_contents(
    cache: TokenCache, keys: Sequence[str], samples: Sequence[Sample], *, seed: int
) -> dict[str, str]:
    """Estimate the content of held-out images: the known one, or that of images with similar features.

    Args:
        cache: has their features.
        keys: of a view of each image.
        samples: the images.
        seed: of the clusters.

    Returns:
        `photo`, `art` or `screenshot` by `image_name`; empty where hardly any similar image has a known content.

    Raises:
        StorageError: a view is not cached.
    """
    known = [sample.content for sample in samples]
    names = contents(cache.features(keys).numpy(), known, seed=seed)
    kinds = set(known)
    return {image_name(sample): name if name in kinds else "" for sample, name in zip(samples, names, strict=True)}
