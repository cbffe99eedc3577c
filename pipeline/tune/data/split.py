"""Split: group related samples, exclude duplicates and contradictory labels, and assign groups to splits.

Shapes: N samples, U distinct hashes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mole.errors import SettingsError
from pipeline.records import Status
from pipeline.tune.data.label_words import NAMES
from pipeline.tune.data.samples import Sample

NEAR_BITS = 4
"""Pictures whose perceptual hashes differ in at most this many of 64 bits are near duplicates."""

TRAIN = "train"
CHUNK_PAIRS = 1 << 20
MAX_EXAMPLES = 20
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Exclusions:
    """Which samples are used, and which are left out and why.

    Attributes:
        kept: indices of the samples that are used, in order.
        reasons: number of samples left out, by reason.
        named: reason, URI and detail of the first samples of each reason.
    """

    kept: list[int]
    reasons: Counter[str] = field(default_factory=Counter)
    named: list[tuple[str, str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        """Describe what was left out."""
        if not self.reasons:
            return "nothing left out"
        return ", ".join(f"{count:,} left out ({reason})" for reason, count in sorted(self.reasons.items()))


def exclude(samples: Sequence[Sample], survey: pa.Table) -> Exclusions:
    """Exclude faults, all copies of identical bytes with contradictory labels, and duplicates of identical bytes.

    Args:
        samples: the samples.
        survey: their survey rows.
    """
    digests = survey["digest"].to_pylist()
    labels: dict[str, set[int]] = {}
    for sample, digest in zip(samples, digests, strict=True):
        if digest is not None:
            labels.setdefault(digest, set()).add(sample.label)
    out, seen = Exclusions([]), set()
    rows = zip(samples, digests, survey["status"].to_pylist(), survey["detail"].to_pylist(), strict=True)
    for place, (sample, digest, status, detail) in enumerate(rows):
        if status != Status.OK:
            _name(out, str(status), sample, detail or "")
        elif len(labels[digest]) > 1:
            _name(out, "identical bytes with both labels", sample, f"here {NAMES[sample.label]}")
        elif digest in seen:
            _name(out, "identical bytes again", sample, "")
        else:
            seen.add(digest)
            out.kept.append(place)
    return out


def groups(samples: Sequence[Sample], survey: pa.Table) -> list[str]:
    """Group samples: those with the same declared group, identical bytes or near-duplicate pictures share a group.

    Args:
        samples: the samples.
        survey: their survey rows.

    Returns:
        The group of each sample: the first declared group among connected samples, or else their smallest digest.
    """
    digests = survey["digest"].to_pylist()
    links = [*_equal([sample.group for sample in samples]), *_equal(digests), *near_pairs(survey["phash"]).tolist()]
    member_N = components(np.array(links, np.int64).reshape(-1, 2), len(samples))
    names: dict[int, str] = {}
    for component, sample, digest in zip(member_N.tolist(), samples, digests, strict=True):
        name = f" {sample.group}" if sample.group else digest or sample.uri  # a space sorts before all digests
        names[component] = min(name, names.get(component, name))
    return [names[component].strip() for component in member_N.tolist()]


def near_pairs(phash_N: pa.ChunkedArray, bits: int = NEAR_BITS) -> Pairs:
    """Link pictures with similar hashes, by enough pairs to connect all near duplicates.

    Two hashes within d bits are equal in at least one of d + 1 bands, so only hashes that share a band are compared
    (Norouzi, Punjani and Fleet 2014, multi-index hashing, arXiv:1307.2982).

    Args:
        phash_N: uint64, null if there is no picture.
        bits: maximum number of differing bits.

    Returns:
        int64 (pairs, 2), sample indices.
    """
    known_K = np.flatnonzero(np.array(phash_N.is_valid()))
    hash_K = np.array(phash_N.drop_null(), np.uint64)
    unique_U, first_U, which_K = np.unique(hash_K, return_index=True, return_inverse=True)
    links = [np.stack([known_K[first_U][which_K], known_K], axis=1)]
    edges = np.linspace(0, 64, bits + 2).astype(int)
    for low, high in pairwise(edges.tolist()):
        band_U = (unique_U >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order_U = np.argsort(band_U, kind="stable")
        sizes = np.unique(band_U[order_U], return_counts=True)[1]
        links.extend(known_K[first_U[order_U[pair]]] for pair in _within(unique_U[order_U], sizes, bits))
    found: Pairs = np.concatenate(links).astype(np.int64)
    linked: Pairs = found[found[:, 0] != found[:, 1]]
    return linked


def _within(hash_U: NDArray[np.uint64], sizes: NDArray[np.int64], bits: int) -> list[Pairs]:
    """Compare the uint64 hashes of each run with equal bands; int64 (pairs, 2) each, indices into them."""
    found = []
    for start, size in zip((np.cumsum(sizes) - sizes).tolist(), sizes.tolist(), strict=True):
        run = hash_U[start : start + size]
        for low in range(0, size, max(1, CHUNK_PAIRS // size)) if size > 1 else ():
            rows = run[low : low + max(1, CHUNK_PAIRS // size)]
            left, right = np.nonzero(np.bitwise_count(rows[:, None] ^ run[None]) <= bits)
            later = left + low < right
            found.append(np.stack([left[later] + low, right[later]], axis=1) + start)
    return found


def components(links: Pairs, count: int) -> NDArray[np.int64]:
    """Number connected components; links int64 (pairs, 2) between indices, returns int64 (count,)."""
    ones = np.ones(len(links), np.int8)
    graph = coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count))
    number_N: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return number_N


def split_of(group: str, seed: int, shares: Mapping[str, float]) -> str:
    """Assign a group to a split by a hash of its name.

    Args:
        group: its name.
        seed: part of the hash.
        shares: of each split but `train`, which takes the rest: `{"validation": 0.1, "test": 0.15}`.

    Raises:
        SettingsError: the shares leave nothing to train on.
    """
    if sum(shares.values()) >= 1 or min(shares.values(), default=0) < 0:
        raise SettingsError(f"the shares of splits must be at least 0 and add up to less than 1, got {dict(shares)}")
    digest = blake2b(f"{seed}\0{group}".encode(), digest_size=8).digest()
    at = int.from_bytes(digest) / 2**64
    for name, share in shares.items():
        if at < share:
            return name
        at -= share
    return TRAIN


def _equal(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    """Link each index with the first of the same key; empty keys are not linked."""
    first: dict[str, int] = {}
    return [(first.setdefault(key, place), place) for place, key in enumerate(keys) if key]


def _name(out: Exclusions, reason: str, sample: Sample, detail: str) -> None:
    """Count an excluded sample, and record it while few of its reason are recorded."""
    out.reasons[reason] += 1
    if out.reasons[reason] <= MAX_EXAMPLES:
        out.named.append((reason, sample.uri, detail))
