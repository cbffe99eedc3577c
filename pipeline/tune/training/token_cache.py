"""The tokens: views behind the frozen trunk, kept in a folder, so that what was run once need not run again.

A block is a safetensors file that is written beside its place and renamed, and says in its head which views it holds.
It is mapped into memory, and only what is asked of it is read. Whoever adds to a folder adds blocks, so a run that is
killed has lost the block that it was at, and several may fill one folder.

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
"""Counted up when the same sample and seed would give another view."""
TOKEN, FEATURE, KEYS = "token", "feature", "keys"


def cache_folder(folder: Path, base: Description, detector: DetectorConfig, *, bfloat16: bool) -> Path:
    """Name the folder of all views that went through one trunk, by the tower, the blocks and what is read.

    Args:
        folder: that keeps tokens of any trunk.
        base: whose tower it is.
        detector: whose trunk it is; the ranks of its experts change nothing.
        bfloat16: how the tower runs.
    """
    shape = detector.model_dump(mode="json", include={"adapted_blocks", "blocks", "reads", "pooling"})
    told = [VERSION, base.config.backbone.identity or base.digest, shape, detector.adapts, bfloat16]
    return folder / blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()


class TokenCache:
    """What is kept of some views: what the trunk gave, and what is read of a detector whose experts have not moved.

    Args:
        folder: of one trunk, from `space`; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._found: dict[str, tuple[Path, int]] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, "pt") as block:
                names = json.loads(block.metadata()[KEYS])
            self._found |= {name: (file, row) for row, name in enumerate(names)}

    def __contains__(self, key: str) -> bool:
        """Tell whether a view is kept."""
        return key in self._found

    def tokens(self, keys: Sequence[str]) -> Tensor:
        """Read what the trunk gave for some views, token_NTD, in the dtype of the tower.

        Raises:
            StorageError: one is not there.
        """
        return self._read(keys, TOKEN)

    def features(self, keys: Sequence[str]) -> Tensor:
        """Read what is read of some views before any expert has moved, feature_NF, float32.

        Raises:
            StorageError: one is not there.
        """
        return self._read(keys, FEATURE)

    def _read(self, keys: Sequence[str], name: str) -> Tensor:
        lost = [key for key in keys if key not in self._found]
        if lost:
            raise StorageError(f"{self.folder} lacks {len(lost):,} of {len(keys):,} views; run the same command again")
        of_file: dict[Path, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            file, row = self._found[key]
            of_file.setdefault(file, []).append((place, row))
        parts: dict[int, Tensor] = {}
        for file, rows in of_file.items():
            with safe_open(file, "pt") as block:
                part = block.get_slice(name)
                parts |= {place: part[row] for place, row in rows}
        return torch.stack([parts[place] for place in range(len(keys))])


def write_block(folder: Path, keys: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    """Add a block to a folder.

    Args:
        folder: of one trunk.
        keys: of its views.
        tensors: `feature` and, where tokens are kept, `token`; a row a view.
    """
    name = blake2b("\n".join(keys).encode(), digest_size=12).hexdigest()
    unfinished = folder / f"{name}.part"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, unfinished, {KEYS: json.dumps(list(keys))})
    unfinished.rename(folder / f"{name}.safetensors")
