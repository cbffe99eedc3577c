"""Reconstruction: the flow from a user's photographs to a folder of pairs, and its settings."""

from functools import partial
from typing import Annotated, ClassVar

import ray
from pydantic import Field, NonNegativeFloat, PositiveInt

from mole.errors import SettingsError
from pipeline.runtime import cluster
from pipeline.storage import storage
from pipeline.telemetry.terminal import Ticker
from pipeline.tune.data.autoencoder import open_autoencoder
from pipeline.tune.data.collection import Log, list_samples
from pipeline.tune.data.pair_writer import OpenReconstructor, ReconstructionResult, write_pairs
from pipeline.tune.data.samples import capped
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.upsampling import open_upsampler


class ReconstructSettings(SampleSettings):
    """Make aligned fakes: pass real photographs through an autoencoder or an upsampler and write pairs of JPEG files.

    The output is a folder for --samples. Run the same command again and it makes only what is missing.

    exit codes: 0 every photograph has its pair, 1 some gave none, 2 a setting or a place that is not there, 3 a
    store failed, 4 the autoencoder or upsampler cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_RECONSTRUCT_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the pairs")
    autoencoder: str | None = Field(
        None,
        description="a local folder with taef2_encoder.pth and taef2_decoder.pth, or a diffusers AutoencoderKL "
        "(default: none)",
    )
    upsampler: str | None = Field(
        None,
        description="in place of an autoencoder: resample, realesrgan, realesrgan-anime, realesrgan-video, or an ncnn "
        ".param file; brings photographs down and up again (default: none)",
    )
    noise: NonNegativeFloat = Field(0.0, description="laid over taef2's latents, in their own deviations")
    largest: PositiveInt = Field(512, ge=16, description="a longer short side is brought down to this first, pixels")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")


def make_pairs(settings: ReconstructSettings, log: Log) -> ReconstructionResult:
    """Recognise the samples and reconstruct the real ones.

    Args:
        settings: of the run.
        log: receives progress messages, one line each.

    Raises:
        SettingsError: a place is not there or not understood, or holds no photograph.
        StorageError: a place cannot be read, or the output refuses.
        ModelError: what they are passed through cannot be read.
    """
    opening = _opening(settings)
    layout = list_samples(settings, log, both=False)
    samples = [sample for sample in layout.samples if sample.label == 0]
    if settings.most is not None:
        samples = capped(samples, settings.most, seed=settings.seed)
    Ticker.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        gpus = 0 if settings.upsampler else int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        return write_pairs(samples, settings.output, opening, largest=settings.largest, gpus=gpus)


def _opening(settings: ReconstructSettings) -> OpenReconstructor:
    """Choose what photographs are passed through.

    Raises:
        SettingsError: both are named, or neither, or the autoencoder's folder is not there.
    """
    if (settings.autoencoder is None) == (settings.upsampler is None):
        named = "neither" if settings.autoencoder is None else "both"
        raise SettingsError(f"one of --autoencoder and --upsampler is required, got {named}")
    if settings.autoencoder is None:
        if settings.noise:
            raise SettingsError(f"--noise must be 0 with --upsampler, which has no latents; got {settings.noise:g}")
        return partial(open_upsampler, str(settings.upsampler))
    storage.demand(settings.autoencoder, "--autoencoder")
    return partial(open_autoencoder, settings.autoencoder, noise=settings.noise)
