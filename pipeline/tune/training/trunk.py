"""The trunk: the frozen part of a detector, whose output is kept for all that is ever trained on it.

Legend: N views, B of a forward pass, S side of a view, T tokens, D width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.checkpoint import tower_of
from mole.config import describe
from mole.model.detector import MoLE, pooled, span
from mole.tower.vit import normalise
from pipeline import registry
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import FEATURE, TOKEN, TokenCache, write_block


def needs_tokens(task: Task) -> bool:
    """Tell whether what the trunk gave is needed; without experts a head that was fitted has no more to learn."""
    return task.detector.adapts


class TrunkRunner:
    """The frozen part of some detectors on one tower, which writes what it gives for each.

    Args:
        tasks: the detectors, by the folders where their blocks go; of one base, view and dtype.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: views of a forward pass; a shorter one is filled up, so that the same view gives the same numbers
            in whatever company.
    """

    def __init__(self, tasks: Mapping[str, Task], *, device: str, threads: int, batch_size: int) -> None:
        torch.set_num_threads(threads)
        self.tasks, self.device, self.batch_size = tasks, device, batch_size
        self.caches = {folder: TokenCache(Path(folder)) for folder in tasks}
        self.task = next(iter(tasks.values()))
        self.dtype = torch.bfloat16 if self.task.bfloat16 else torch.float32
        self.tower = tower_of(describe(registry.locate(self.task.base, self.task.digest))).to(self.dtype).to(device)
        layers = len(self.tower.transformer.resblocks)
        self.spans = {folder: span(task.detector, layers) for folder, task in tasks.items()}

    def __call__(self, rows: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.int64]]:
        """Run a block through, `pixels` uint8 (N, 3, S, S) and `key`, and keep what each folder lacks; tell N."""
        parts: dict[str, list[dict[str, Tensor]]] = {folder: [] for folder in self.tasks}
        pixels_N3SS = torch.from_numpy(np.array(rows["pixels"]))
        for part_B3SS in torch.split(pixels_N3SS, self.batch_size):
            count = len(part_B3SS)
            filled = torch.cat([part_B3SS, part_B3SS[:1].expand(self.batch_size - count, -1, -1, -1)])
            for folder, made in self._run(filled).items():
                parts[folder].append({name: tensor[:count].cpu() for name, tensor in made.items()})
        names = [str(key) for key in rows["key"]]
        for folder, pieces in parts.items():
            absent = [number for number, name in enumerate(names) if name not in self.caches[folder]]
            if absent:
                joined = {name: torch.cat([piece[name] for piece in pieces])[absent] for name in pieces[0]}
                write_block(Path(folder), [names[number] for number in absent], joined)
        return {"kept": np.array([len(names)])}

    @torch.inference_mode()
    def _run(self, pixels_B3SS: Tensor) -> dict[str, dict[str, Tensor]]:
        """Run uint8 views through the tower once, and take from it what each detector needs; by folder."""
        wanted = {
            number for folder, task in self.tasks.items() for number in (*self.spans[folder], *task.detector.reads)
        }
        token_BTD = self.tower.embed(normalise(pixels_B3SS.to(self.device), self.task.spec).to(self.dtype))
        behind = {0: token_BTD}
        for number, block in enumerate(self.tower.transformer.resblocks[: max(wanted)], 1):
            token_BTD = block(token_BTD)
            behind |= {number: token_BTD} if number in wanted else {}
        return {folder: self._taken(task, behind, *self.spans[folder]) for folder, task in self.tasks.items()}

    def _taken(self, task: Task, behind: Mapping[int, Tensor], split: int, depth: int) -> dict[str, Tensor]:
        """Take a detector's features, float32 (B, F), and its tokens, (B, T, D), where they are needed."""
        config, prefix = task.detector, self.tower.prefix
        reads = [pooled(behind[read], name, prefix) for read in config.reads for name in config.pooling]
        feature_BF = torch.cat(reads, dim=1) if reads else self.tower.read(behind[depth]).float()
        return {FEATURE: feature_BF} | ({TOKEN: behind[split]} if needs_tokens(task) else {})


def fresh_detector(task: Task) -> MoLE:
    """Build the detector of a task with fresh experts, on the CPU, as every process builds it.

    Raises:
        ModelError: the base cannot be used.
    """
    torch.manual_seed(task.seed)
    tower = tower_of(describe(registry.locate(task.base, task.digest)))
    return MoLE(tower.to(torch.bfloat16 if task.bfloat16 else torch.float32), task.detector)
