"""Trunk: the frozen part of a detector, whose output is cached for every training on the same tower.

Legend: N views, B views of a forward pass, S side of a view, T tokens, D width.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mole.checkpoint import tower_of
from mole.config import describe
from mole.model.detector import MoLE, pooled, split_and_depth
from mole.tower.vit import normalise
from pipeline import registry
from pipeline.tune.training.task import Task
from pipeline.tune.training.token_cache import FEATURE, TOKEN, TokenCache, write_block


def needs_tokens(task: Task) -> bool:
    """Return whether training needs tokens; without experts the head is fitted to the features alone."""
    return task.detector.adapts


class TrunkRunner:
    """Runs the frozen part of several detectors on one tower, and writes its output to each cache folder.

    Args:
        tasks: the detectors, by cache folder; all with the same base, view and dtype.
        device: `cpu` or `cuda`.
        threads: cores for one forward pass on CPU.
        batch_size: views per forward pass; a shorter batch is padded, so that a view gives the same numbers whatever
            batch it is in.
    """

    def __init__(self, tasks: Mapping[str, Task], *, device: str, threads: int, batch_size: int) -> None:
        torch.set_num_threads(threads)
        self.tasks, self.device, self.batch_size = tasks, device, batch_size
        self.caches = {folder: TokenCache(Path(folder)) for folder in tasks}
        self.task = next(iter(tasks.values()))
        self.dtype = torch.bfloat16 if self.task.bfloat16 else torch.float32
        self.tower = tower_of(describe(registry.locate(self.task.base, self.task.digest))).to(self.dtype).to(device)
        layers = len(self.tower.transformer.resblocks)
        self.split_and_depth = {folder: split_and_depth(task.detector, layers) for folder, task in tasks.items()}

    def __call__(self, rows: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.int64]]:
        """Run a block, `pixels` uint8 (N, 3, S, S) and `key`, and cache what each folder lacks; `cached` is N."""
        parts: dict[str, list[dict[str, Tensor]]] = {folder: [] for folder in self.tasks}
        pixels_N3SS = torch.from_numpy(np.array(rows["pixels"]))
        for part_B3SS in torch.split(pixels_N3SS, self.batch_size):
            count = len(part_B3SS)
            padded = torch.cat([part_B3SS, part_B3SS[:1].expand(self.batch_size - count, -1, -1, -1)])
            for folder, output in self._run(padded).items():
                parts[folder].append({name: tensor[:count].cpu() for name, tensor in output.items()})
        names = [str(key) for key in rows["key"]]
        for folder, pieces in parts.items():
            absent = [number for number, name in enumerate(names) if name not in self.caches[folder]]
            if absent:
                joined = {name: torch.cat([piece[name] for piece in pieces])[absent] for name in pieces[0]}
                write_block(Path(folder), [names[number] for number in absent], joined)
        return {"cached": np.array([len(names)])}

    @torch.inference_mode()
    def _run(self, pixels_B3SS: Tensor) -> dict[str, dict[str, Tensor]]:
        """Run views, uint8 (B, 3, S, S), through the tower once, and return what each detector needs; by folder."""
        wanted = {
            number
            for folder, task in self.tasks.items()
            for number in (*self.split_and_depth[folder], *task.detector.reads)
        }
        token_BTD = self.tower.embed(normalise(pixels_B3SS.to(self.device), self.task.spec).to(self.dtype))
        outputs = {0: token_BTD}
        for number, block in enumerate(self.tower.transformer.resblocks[: max(wanted)], 1):
            token_BTD = block(token_BTD)
            outputs |= {number: token_BTD} if number in wanted else {}
        return {
            folder: self._select(task, outputs, *self.split_and_depth[folder]) for folder, task in self.tasks.items()
        }

    def _select(self, task: Task, outputs: Mapping[int, Tensor], split: int, depth: int) -> dict[str, Tensor]:
        """Select a detector's features, float32 (B, F), and its tokens, (B, T, D), if they are needed."""
        config, prefix = task.detector, self.tower.prefix
        reads = [pooled(outputs[read], name, prefix) for read in config.reads for name in config.pooling]
        feature_BF = torch.cat(reads, dim=1) if reads else self.tower.read(outputs[depth]).float()
        return {FEATURE: feature_BF} | ({TOKEN: outputs[split]} if needs_tokens(task) else {})


def fresh_detector(task: Task) -> MoLE:
    """Build the detector of a task with newly initialised experts, on the CPU; identical in every process.

    Raises:
        ModelError: the base cannot be used.
    """
    torch.manual_seed(task.seed)
    tower = tower_of(describe(registry.locate(task.base, task.digest)))
    return MoLE(tower.to(torch.bfloat16 if task.bfloat16 else torch.float32), task.detector)
