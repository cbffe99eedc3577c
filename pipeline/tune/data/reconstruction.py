"""Reconstruction: the settings of reconstruct, and the flow from photographs to a folder of pairs."""

from functools import partial
from typing import Annotated, ClassVar

import ray
from pydantic import Field, NonNegativeFloat, PositiveInt

from mole.errors import SettingsError
from pipeline.runtime import cluster
from pipeline.storage import storage
from pipeline.telemetry.terminal import ProgressDisplay
from pipeline.tune.data.autoencoder import open_autoencoder
from pipeline.tune.data.collection import Log, list_samples
from pipeline.tune.data.pair_writer import OpenReconstructor, ReconstructionResult, write_pairs
from pipeline.tune.data.samples import capped
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.upsampling import open_upsampler


class ReconstructSettings(SampleSettings):
    """Make aligned fakes: pass real photographs through an autoencoder or an upsampler, and write pairs of JPEG files.

    The output is a folder for --samples. Run the same command again to make only the missing pairs.

    exit codes: 0 every photograph has a pair, 1 some have none, 2 invalid settings or a missing input, 3 a store
    failed, 4 the autoencoder or upsampler cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_RECONSTRUCT_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}
    renamed: ClassVar[dict[str, str]] = {**SampleSettings.renamed, "largest": "max_side"}

    output: Annotated[str, Field(min_length=1)] = Field(description="folder or URL for the pairs")
    autoencoder: str | None = Field(
        None,
        description="local folder with taef2_encoder.pth and taef2_decoder.pth, or with a diffusers AutoencoderKL "
        "(default: none)",
    )
    upsampler: str | None = Field(
        None,
        description="instead of an autoencoder, scale photographs down and up again with resample, realesrgan, "
        "realesrgan-anime, realesrgan-video or an ncnn .param file (default: none)",
    )
    noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of noise added to taef2's latents, relative to theirs"
    )
    max_side: PositiveInt = Field(
        512, ge=16, description="maximum short side, pixels; larger photographs are scaled down first"
    )
    json_summary: bool = Field(False, description="print a JSON summary to stdout instead of text")


def make_pairs(settings: ReconstructSettings, log: Log) -> ReconstructionResult:
    """List the samples, and make pairs from the real ones.

    Args:
        settings: of the run.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: an input does not exist, is not recognised, or contains no photograph.
        StorageError: an input cannot be read, or the output cannot be written.
        ModelError: the autoencoder or upsampler cannot be read.
    """
    opening = _opening(settings)
    layout = list_samples(settings, log, both=False)
    reals = [sample for sample in layout.samples if sample.label == 0]
    samples = capped(reals, settings.max_per_source, seed=settings.seed)
    ProgressDisplay.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.unwrapped_errors():
        gpus = 0 if settings.upsampler else int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        return write_pairs(samples, settings.output, opening, largest=settings.max_side, gpus=gpus)


def _opening(settings: ReconstructSettings) -> OpenReconstructor:
    """Choose the model that photographs are passed through.

    Raises:
        SettingsError: both are set, or neither, or the autoencoder's folder does not exist.
    """
    if (settings.autoencoder is None) == (settings.upsampler is None):
        named = "neither" if settings.autoencoder is None else "both"
        raise SettingsError(f"one of --autoencoder and --upsampler is required, got {named}")
    if settings.autoencoder is None:
        if settings.noise:
            raise SettingsError(f"--noise must be 0 with --upsampler, which has no latents; got {settings.noise:g}")
        upsampler = str(settings.upsampler)
        return partial(open_upsampler, storage.absolute(upsampler) if upsampler.endswith(".param") else upsampler)
    storage.require_exists(settings.autoencoder, "--autoencoder")
    return partial(open_autoencoder, storage.absolute(settings.autoencoder), noise=settings.noise)
