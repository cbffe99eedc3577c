"""Laws of the scorer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mole.checkpoint import load_checkpoint
from mole.inference import scoring as inference
from mole.inference.scoring import SingleModelScorer
from mole.views.view import view
from pipeline.tune.data.samples import Sample, digest_of, load
from pipeline.tune.evaluation.perturbation import perturbation
from tests.judged import labelled, score_here
from tests.pictures import faulty
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny detector."""
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


def test_a_logit_is_that_of_the_perturbed_picture_in_the_detectors_own_view(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "faster", lambda _: "float32")  # whichever precision is faster here
    samples = labelled(tmp_path, each=1)[:5]
    table = score_here(samples, model, ("shipped", "crop-0.8"))
    checkpoint = load_checkpoint(model)
    act = perturbation("crop-0.8")
    views = [view(act(load(sample), 0).numpy(), checkpoint.preprocess) for sample in samples]
    wanted = SingleModelScorer(checkpoint, "cpu", precision="float32").score(torch.from_numpy(np.stack(views))).logit
    got = table["logit"].to_numpy().reshape(5, 2)[:, 1]
    assert np.allclose(got, wanted, atol=1e-4)
    assert np.ptp(wanted) > 1e-3, "pictures that differ"


def test_every_fault_is_a_row_in_every_perturbation_and_none_is_lost(model: Path, tmp_path: Path) -> None:
    samples = []
    for name, data in faulty().items():
        (tmp_path / name).write_bytes(data)
        samples.append(Sample(str(tmp_path / name), 0, "photos"))
    samples.append(Sample(str(tmp_path / "gone.png"), 1, "painter"))
    table = score_here(samples, model, ("shipped", "jpeg-30"))
    status = dict(zip(table["place"].to_pylist(), table["status"].to_pylist(), strict=True))
    assert len(table) == 2 * len(samples)
    assert [status[place] for place in (0, 7, 8)] == ["ok", "ok", "missing"]
    assert {status[place] for place in range(1, 7)} >= {"truncated", "empty", "not_an_image", "too_small"}
    assert table["digest"][0].as_py() == digest_of((tmp_path / next(iter(faulty()))).read_bytes(), None)
    assert table["logit"].is_null().to_pylist() == [word != "ok" for word in table["status"].to_pylist()]
