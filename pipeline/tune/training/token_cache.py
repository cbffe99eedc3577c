"""Token cache: the frozen trunk's output for each view, stored in a folder so that the trunk runs once per view.

A block is a safetensors file that is written under a temporary name and renamed; its header lists the views in it. It
is memory-mapped, and only the requested rows are read. Writers only ever add blocks, so a killed run loses at most the
block it was writing, and several runs can share a folder.

Legend: N views, T tokens, D width, F feature.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mole.config import Description, DetectorConfig
from mole.errors import StorageError

VERSION = 1
"""Increment this when the same sample and seed would give a different view."""
TOKEN, FEATURE, KEYS = "token", "feature", "keys"


def cache_folder(folder: Path, base: Description, detector: DetectorConfig, *, bfloat16: bool) -> Path:
    """Return the subfolder for one trunk, named after the tower, the blocks that are run and what is read.

    Args:
        folder: of the token cache, shared by any number of trunks.
        base: checkpoint whose tower is used.
        detector: determines the trunk; the ranks of its experts do not matter.
        bfloat16: dtype in which the tower runs.
    """
    shape = detector.model_dump(mode="json", include={"adapted_blocks", "blocks", "reads", "pooling"})
    identity = [VERSION, base.config.backbone.identity or base.digest, shape, detector.adapts, bfloat16]
    return folder / blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest()


class TokenCache:
    """Cached views of one trunk: its tokens, and the features that the head reads before any expert is trained.

    Args:
        folder: from `cache_folder`; created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, tuple[Path, int]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as block:
                names = json.loads(block.metadata()[KEYS])
            self._rows |= {name: (file, row) for row, name in enumerate(names)}

    def __contains__(self, key: str) -> bool:
        """Return whether a view is cached."""
        return key in self._rows

    def tokens(self, keys: Sequence[str]) -> Tensor:
        """Read the trunk's output for some views, token_NTD, in the dtype of the tower.

        Raises:
            StorageError: a view is not cached.
        """
        return self._read(keys, TOKEN)

    def features(self, keys: Sequence[str]) -> Tensor:
        """Read the features of some views before any expert is trained, feature_NF, float32.

        Raises:
            StorageError: a view is not cached.
        """
        return self._read(keys, FEATURE)

    def _read(self, keys: Sequence[str], name: str) -> Tensor:
        missing = [key for key in keys if key not in self._rows]
        if missing:
            raise StorageError(
                f"{self.folder} lacks {len(missing):,} of {len(keys):,} views; run the same command again"
            )
        of_file: dict[Path, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            file, row = self._rows[key]
            of_file.setdefault(file, []).append((place, row))
        parts: dict[int, Tensor] = {}
        for file, rows in of_file.items():
            with safe_open(file, "pt") as block:
                part = block.get_slice(name)
                parts |= {place: part[row] for place, row in rows}
        return torch.stack([parts[place] for place in range(len(keys))])


def write_block(folder: Path, keys: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Add a block to a cache folder.

    Args:
        folder: of one trunk.
        keys: of its views.
        tensors: `feature`, float32 of shape (V, F), and, if tokens are cached, `token`, (V, T, D); one row per view.
    """
    name = blake2b("\n".join(keys).encode(), digest_size=12).hexdigest()
    unfinished = folder / f"{name}.part"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, unfinished, {KEYS: json.dumps(list(keys))})
    unfinished.rename(folder / f"{name}.safetensors")
