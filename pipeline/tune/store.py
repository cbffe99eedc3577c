"""The store of trunk tokens: what the frozen part made of the same views once, it need not make again."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mole.detector import Detector
from mole.preprocess import Preprocess
from pipeline.tune.dataset import Cached, Views, cache
from pipeline.tune.samples import Sample

VERSION = 1  # counted up when the same samples would give other views


def remembered(
    place: Path | None, key: str, samples: Sequence[Sample], make: Callable[[], Views], run: tuple[Detector, Preprocess]
) -> Cached:
    """Read cached views, or make them and keep them.

    Args:
        place: the folder; none keeps nothing.
        key: from `key_of`, and what kind of views it is.
        samples: in the order of the views.
        make: makes the views.
        run: the fresh detector and the view's spec.
    """
    file = place / f"{key}.safetensors" if place else None
    if file is not None and file.is_file():
        stored = load_file(file)
        label_N = torch.tensor([float(sample.label) for sample in samples])
        return Cached(label_N, tuple(sample.source for sample in samples), stored["token"], stored["feature"])
    made = cache(run[0], make(), run[1])
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"token": made.token_NTD, "feature": made.feature_NF}, file)
    return made


def key_of(samples: Sequence[Sample], tower: str, spec: Preprocess, split: int) -> str:
    """Digest all that decides the tokens: the samples, the tower's digest, the view, and where the trunk ends."""
    named = [[sample.uri, sample.cell] for sample in samples]
    return hashlib.sha256(json.dumps([VERSION, named, tower, spec.fingerprint, split]).encode()).hexdigest()[:16]
