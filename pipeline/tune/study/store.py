"""The store of trunk tokens: what the frozen part made of the same views once, it need not make again."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from safetensors.torch import load_file, save_file

from mole.detector import MoLE
from mole.preprocess import Preprocess
from pipeline.tune.data.samples import Sample, from_table, to_table
from pipeline.tune.study.dataset import Cached, Views, cache

VERSION = 4  # counted up when the same samples would give other views


def remembered(place: Path | None, key: str, make: Callable[[], Views], run: tuple[MoLE, Preprocess]) -> Cached:
    """Read cached views, or make them and keep them.

    Args:
        place: the folder; none keeps nothing.
        key: from `key_of`, and what kind of views it is.
        make: makes the views.
        run: the fresh detector and the view's spec.
    """
    if place is None:
        return cache(run[0], make(), run[1])
    file, rows = place / f"{key}.safetensors", place / f"{key}.parquet"
    if file.is_file():
        stored = load_file(file)
        return Cached(tuple(from_table(pq.read_table(rows))), stored["token"], stored["feature"])
    made = cache(run[0], make(), run[1])
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(to_table(made.samples), rows)
    unfinished = file.with_suffix(".part")
    save_file({"token": made.token_NTD, "feature": made.feature_NF}, unfinished)
    unfinished.rename(file)
    return made


def key_of(samples: Sequence[Sample], tower: str, spec: Preprocess, split: int) -> str:
    """Digest all that decides the tokens: the samples, the tower's digest, the view, and where the trunk ends."""
    named = [[sample.uri, sample.cell, sample.edge] for sample in samples]
    return hashlib.sha256(json.dumps([VERSION, named, tower, spec.fingerprint, split]).encode()).hexdigest()[:16]
