"""Clusters: the content of images of which no list tells it, by what the frozen tower sees alike.

Legend: N images, F features.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

CLUSTERS = 24
NAMED = 0.1  # of a cluster's images; where fewer are named, its name would be a guess


def contents(
    feature_NF: NDArray[np.float32], known: Sequence[str], *, clusters: int = CLUSTERS, seed: int = 0
) -> list[str]:
    """Name what is in every image: as its list says, or as most of the named images do that look like it.

    Args:
        feature_NF: of the frozen tower, any length.
        known: what is in each, empty where nothing tells.
        clusters: how many kinds of look there are.
        seed: decides where the clusters begin; the same input and seed give the same names.

    Returns:
        One name an image. A cluster in which next to no image is named is a content of its own, `cluster 7`.
    """
    cluster_N = clustered(feature_NF, clusters, seed=seed)
    names: dict[int, str] = {}
    for cluster in sorted(set(cluster_N.tolist())):
        inside = [name for name, own in zip(known, cluster_N.tolist(), strict=True) if own == cluster]
        named = Counter(name for name in inside if name)
        enough = named.total() >= NAMED * len(inside) and named
        names[cluster] = min(named, key=lambda name: (-named[name], name)) if enough else f"cluster {cluster}"
    return [name or names[cluster] for name, cluster in zip(known, cluster_N.tolist(), strict=True)]


def clustered(feature_NF: NDArray[np.float32], clusters: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Put images into clusters by k-means on features of length one.

    Args:
        feature_NF: of the frozen tower, any length.
        clusters: how many, no more than there are images.
        seed: decides where they begin.

    Returns:
        int64 (N,), numbered in the order in which their first images come.
    """
    length_N1 = np.linalg.norm(feature_NF, axis=1, keepdims=True)
    unit_NF = feature_NF.astype(np.float64) / np.maximum(length_N1, 1e-12)
    found_N = KMeans(min(clusters, len(unit_NF)), n_init=4, random_state=seed).fit_predict(unit_NF)
    number = {cluster: order for order, cluster in enumerate(dict.fromkeys(found_N.tolist()))}
    return np.array([number[cluster] for cluster in found_N.tolist()], np.int64)
