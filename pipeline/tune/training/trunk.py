"""The trunk: the frozen part of a detector, whose output is kept for all that is ever trained on it.

Legend: N views, B of a forward pass, S side of a view, T tokens, D width.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mole.checkpoint import tower_of
from mole.config import describe
from mole.detector import MoLE
from mole.tower import normalise
from pipeline import registry
from pipeline.tune.training.task import Task
from pipeline.tune.training.tokens import FEATURE, TOKEN, keep


def keeps_tokens(task: Task) -> bool:
    """Tell whether what the trunk gave is needed; without experts a head that was fitted has no more to learn."""
    return task.detector.adapts


class TrunkOfOne:
    """The frozen part of a detector, which writes what it gives.

    Args:
        task: which.
        folder: where blocks go.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: views of a forward pass; a shorter one is filled up, so that the same view gives the same numbers
            in whatever company.
    """

    def __init__(self, task: Task, folder: str, *, device: str, threads: int, batch_size: int) -> None:
        torch.set_num_threads(threads)
        self.task, self.folder, self.device, self.batch_size = task, Path(folder), device, batch_size
        self.detector = plain_detector(task).to(device)
        self.dtype = torch.bfloat16 if task.bfloat16 else torch.float32

    def __call__(self, rows: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.int64]]:
        """Run the trunk over a block, `pixels` uint8 (N, 3, S, S) and `key`; tell how many views were kept."""
        tokens, features = [], []
        pixels_N3SS = torch.from_numpy(np.array(rows["pixels"]))
        for part_B3SS in torch.split(pixels_N3SS, self.batch_size):
            count = len(part_B3SS)
            filled = torch.cat([part_B3SS, part_B3SS[:1].expand(self.batch_size - count, -1, -1, -1)])
            with torch.inference_mode():
                view_B3SS = normalise(filled.to(self.device), self.task.spec).to(self.dtype)
                token_BTD = self.detector.trunk(view_B3SS)
                features.append(self.detector.feature(token_BTD)[0][:count].cpu())
                tokens.append(token_BTD[:count].cpu() if keeps_tokens(self.task) else None)
        made = {FEATURE: torch.cat(features)}
        if keeps_tokens(self.task):
            made[TOKEN] = torch.cat([part for part in tokens if part is not None])
        keep(self.folder, [str(key) for key in rows["key"]], made)
        return {"kept": np.array([len(pixels_N3SS)])}


def plain_detector(task: Task) -> MoLE:
    """Build the detector of a task with fresh experts, on the CPU, as every process builds it.

    Raises:
        ModelError: the base cannot be used.
    """
    torch.manual_seed(task.seed)
    tower = tower_of(describe(registry.locate(task.base, task.digest)))
    return MoLE(tower.to(torch.bfloat16 if task.bfloat16 else torch.float32), task.detector)
