"""A spec is refused where it is born."""

import pytest

from mole.preprocess import Preprocess


@pytest.mark.parametrize("values", [{"mode": "stretch"}, {"size": 0}, {"short_side": -1}, {"sise": 224}])
def test_a_spec_that_means_nothing_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Preprocess.model_validate(values)


def test_a_spec_survives_the_checkpoint() -> None:
    spec = Preprocess(mode="resize", short_side=256)
    again = Preprocess.model_validate_json(spec.model_dump_json())
    assert again == spec and again.fingerprint == spec.fingerprint
