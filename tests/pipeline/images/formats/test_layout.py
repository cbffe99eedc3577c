"""Laws of a layout: a refusal is a status with its reason."""

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported
from pipeline.records import Status


def test_each_refusal_is_the_status_that_it_is_called_by() -> None:
    assert [refusal("why").status for refusal in (truncated, unsupported, too_large)] == [
        Status.TRUNCATED,
        Status.UNSUPPORTED,
        Status.TOO_LARGE,
    ]
    assert str(truncated("why")) == "why" and unsupported("why", "dng").format == "dng"


def test_what_nothing_is_known_of_has_the_white_of_16_bits() -> None:
    assert Layout(b"").white == 65535 and Layout(b"").size is None
