"""Connection: the layout is that of the settings, what the cluster lacks is refused, and scorers wait asleep."""

import os

import pytest
import ray

from mole.errors import ModelError, SettingsError
from pipeline.scan.ray_connection import WAITING, connected
from pipeline.scan.settings import ScanSettings

SETTINGS = ScanSettings(source=["none"], output="none", batch_size=3, rows_per_file=7, num_actors=2)


def test_scorers_are_laid_out_as_the_settings_say(local_ray: None) -> None:
    with connected(SETTINGS) as layout:
        assert (layout.actors, layout.batch_size, layout.rows_per_file) == (2, 3, 7)
        assert layout.cores == ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
        assert layout.threads == max(1, layout.cores // 2)


def test_a_resource_that_no_node_has_is_refused_with_its_name(local_ray: None) -> None:
    settings = SETTINGS.model_copy(update={"score_resource": "scorer-of-none"})
    with pytest.raises(SettingsError, match="--score-resource 'scorer-of-none' with 2 actors"), connected(settings):
        pytest.fail("connected")


def test_an_error_of_a_worker_is_raised_as_it_was_there(local_ray: None) -> None:
    @ray.remote(num_cpus=0)
    def refuse() -> None:
        raise ModelError("logit 3 is not finite")

    with pytest.raises(ModelError, match="^logit 3 is not finite$") as raised, connected(SETTINGS):
        ray.get(refuse.remote())
    assert type(raised.value) is ModelError


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_threads_of_scorers_sleep_while_they_wait_unless_a_user_chose_otherwise(
    local_ray: None, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    name, policy = WAITING
    monkeypatch.setenv(name, "restored later")
    if chosen is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, chosen)
    with connected(SETTINGS):
        assert os.environ[name] == (chosen or policy)
