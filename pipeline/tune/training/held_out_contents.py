"""Held-out contents: estimates what the images of a cross-validation show, so that metrics compare like with like.

Lists rarely say what a generated image shows. Without the estimate a detector that tells photographs from drawings
looks good wherever one class has more photographs.
"""

from collections.abc import Sequence

from pipeline.tune.data.clusters import contents
from pipeline.tune.data.collection import Collection
from pipeline.tune.data.samples import to_table
from pipeline.tune.evaluation.held_out_logits import image_name
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.training.cached_views import CachedDetector
from pipeline.tune.training.sampling import DatasetSpec
from pipeline.tune.training.token_cache import TokenCache
from pipeline.tune.training.view_requests import ViewRequest, view_keys


def estimate_contents(detector: CachedDetector, collection: Collection, tested: Sequence[int]) -> dict[str, str]:
    """Estimate the content of held-out images: the known one, or that of images with similar features.

    Args:
        detector: whose features of the unperturbed images are cached.
        collection: all samples.
        tested: indices of the held-out ones.

    Returns:
        `photo`, `art` or `screenshot` by `image_name`; empty where hardly any similar image has a known content.

    Raises:
        StorageError: a view is not cached.
    """
    dataset = DatasetSpec(to_table(collection.samples), detector.task.spec)
    digests = collection.survey["digest"].to_pylist()
    requests = [ViewRequest(index, ORIGINAL) for index in tested]
    keys = view_keys(requests, dataset, digests, seed=detector.task.seed)
    feature_NF = TokenCache(detector.folder).features(keys).numpy()
    samples = [collection.samples[index] for index in tested]
    known = [sample.content for sample in samples]
    names = contents(feature_NF, known, seed=detector.task.seed)
    kinds = set(known)
    return {image_name(sample): name if name in kinds else "" for sample, name in zip(samples, names, strict=True)}
