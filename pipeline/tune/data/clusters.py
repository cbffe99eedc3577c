"""Clusters: estimates the unknown content of images by clustering features of the frozen tower.

Legend: N images, F features.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

CLUSTERS = 24
MIN_KNOWN_SHARE = 0.1  # minimum share of images with known content in a cluster that is named after them


def contents(
    feature_NF: NDArray[np.float32], known: Sequence[str], *, clusters: int = CLUSTERS, seed: int = 0
) -> list[str]:
    """Estimate the content of every image: the known one, or that of similar images.

    A cluster is named after the content with the largest share of its images in the cluster, so that a frequent content
    does not dominate everywhere.

    Args:
        feature_NF: of the frozen tower, of any norm.
        known: content of each image, empty if unknown.
        clusters: number of clusters.
        seed: of the initial clusters; the same input and seed give the same names.

    Returns:
        One content per image. A cluster with hardly any known content is a content of its own, such as `cluster 7`.
    """
    cluster_N = clustered(feature_NF, clusters, seed=seed)
    names: dict[int, str] = {}
    total = Counter(name for name in known if name)
    for cluster in sorted(set(cluster_N.tolist())):
        inside = [name for name, own in zip(known, cluster_N.tolist(), strict=True) if own == cluster]
        named = Counter(name for name in inside if name)
        enough = named.total() >= MIN_KNOWN_SHARE * len(inside) and named
        names[cluster] = (
            min(named, key=lambda name: (-named[name] / total[name], name)) if enough else f"cluster {cluster}"
        )
    return [name or names[cluster] for name, cluster in zip(known, cluster_N.tolist(), strict=True)]


def clustered(feature_NF: NDArray[np.float32], clusters: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Cluster images by k-means on normalised features.

    Args:
        feature_NF: of the frozen tower, of any norm.
        clusters: number of clusters, at most the number of images.
        seed: of the initial clusters.

    Returns:
        int64 (N,), numbered by their first images.
    """
    length_N1 = np.linalg.norm(feature_NF, axis=1, keepdims=True)
    unit_NF = feature_NF.astype(np.float64) / np.maximum(length_N1, 1e-12)
    found_N = KMeans(min(clusters, len(unit_NF)), n_init=4, random_state=seed).fit_predict(unit_NF)
    number = {cluster: order for order, cluster in enumerate(dict.fromkeys(found_N.tolist()))}
    return np.array([number[cluster] for cluster in found_N.tolist()], np.int64)
