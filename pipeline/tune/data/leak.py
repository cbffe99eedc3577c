"""Leak: how well a classifier separates the classes by file properties alone, and by which of them.

Shapes: N samples, C columns.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

COLUMNS = ("format", "quality", "subsampling", "width", "height", "aspect", "exif", "icc", "xmp", "software")
"""Features of the classifier; bytes per pixel are only reported, since they depend on the content as well."""

REPORTED_ONLY = "bytes_per_pixel"
CATEGORIES = ("format", "subsampling", "software")
MAX_CATEGORIES = 30
NULL_VALUE = -1.0
"""Value for null; gradient boosting fails on a column of NaN only, such as the quality of PNGs."""

FOLDS = 5
MIN_GROUPS = 5
"""Minimum number of groups per class."""

MAX_ROWS = 20_000
"""Maximum number of rows; with these the AUC is known to about half a percent."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Leak:
    """How well file properties alone separate the classes.

    Attributes:
        auc: of gradient boosting on all columns, out of fold; None if there are too few groups.
        low: lower end of its 95 % interval (Hanley and McNeil 1982).
        high: upper end.
        columns: AUC of each column alone, out of fold, the highest first.
        images: number of images it was measured on.
    """

    auc: float | None
    low: float | None
    high: float | None
    columns: dict[str, float]
    images: int


def measure(survey: pa.Table, labels: Sequence[int], groups: Sequence[str], *, seed: int = 0) -> Leak:
    """Measure the AUC of classifiers on file properties, cross-validated by group.

    Args:
        survey: the samples' rows, without faults.
        labels: 1 generated, 0 real.
        groups: of the samples; a group is never split between folds.
        seed: of the folds, and of the subsample if there are too many rows.
    """
    chosen = np.random.default_rng(seed).permutation(len(labels))[:MAX_ROWS]
    rows = survey.take(chosen)
    label_N = np.array(labels, np.int64)[chosen]
    group_N = np.unique(np.array(groups, dtype=object)[chosen].astype(str), return_inverse=True)[1]
    folds = _folds(label_N, group_N, seed)
    if not folds:
        return Leak(None, None, None, {}, len(chosen))
    values = {name: column(rows, name) for name in (*COLUMNS, REPORTED_ONLY)}
    matrix_NC = np.stack([values[name] for name in COLUMNS], axis=1)
    with threadpool_limits(1):  # on few rows threads mostly wait for each other: 120 s beside other work, 2 s with one
        auc = _out_of_fold(_boosting(seed), matrix_NC, label_N, folds)
    alone = {
        name: _out_of_fold(_tree(seed), value_N[:, None], label_N, folds)
        for name, value_N in values.items()
        if len(np.unique(value_N)) > 1
    }
    error = standard_error(auc, int((label_N == 0).sum()), int((label_N == 1).sum()))
    reach = float(norm.ppf(0.975)) * error
    ranked = dict(sorted(alone.items(), key=lambda pair: -pair[1]))
    return Leak(auc, max(0.0, auc - reach), min(1.0, auc + reach), ranked, len(chosen))


def column(rows: pa.Table, name: str) -> Matrix:
    """Encode a column of a survey as float64 (N,); categories by rank of frequency, null as UNKNOWN."""
    if name not in CATEGORIES:
        return np.array([NULL_VALUE if value is None else float(value) for value in rows[name].to_pylist()])
    texts = rows[name].to_pylist()
    counts = Counter(text for text in texts if text is not None)
    ranks = {text: rank for rank, text in enumerate(sorted(counts, key=lambda text: (-counts[text], text)))}
    return np.array([NULL_VALUE if text is None else min(ranks[text], MAX_CATEGORIES) for text in texts])


def standard_error(auc: float, reals: int, fakes: int) -> float:
    """Return the standard error of an AUC; source: Hanley and McNeil 1982, equation 1."""
    one, two = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (fakes - 1) * (one - auc**2) + (reals - 1) * (two - auc**2)
    return math.sqrt(max(0.0, spread) / (reals * fakes))


def _folds(
    label_N: NDArray[np.int64], group_N: NDArray[np.int64], seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split int64 (N,) rows into folds by group; none if a class has too few groups."""
    fewest = min(len(np.unique(group_N[label_N == label])) for label in (0, 1))
    if fewest < MIN_GROUPS:
        return []
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(splitter.split(label_N, label_N, group_N))


def _out_of_fold(
    model: HistGradientBoostingClassifier | DecisionTreeClassifier,
    matrix_NC: Matrix,
    label_N: NDArray[np.int64],
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> float:
    """Fit and score float64 (N, C) by fold; the mean AUC of the folds (scores of folds are not comparable)."""
    aucs = []
    for train, test in folds:
        if len(np.unique(label_N[train])) == len(np.unique(label_N[test])) == 2:
            score_N = model.fit(matrix_NC[train], label_N[train]).predict_proba(matrix_NC[test])[:, 1]
            aucs.append(float(roc_auc_score(label_N[test], score_N)))
    return sum(aucs) / len(aucs) if aucs else 0.5


def _boosting(seed: int) -> HistGradientBoostingClassifier:
    kinds = [name in CATEGORIES for name in COLUMNS]
    return HistGradientBoostingClassifier(
        max_iter=60, min_samples_leaf=5, categorical_features=kinds, early_stopping=False, random_state=seed
    )


def _tree(seed: int) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_leaf_nodes=16, min_samples_leaf=5, random_state=seed)
