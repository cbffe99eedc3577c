"""Laws of the facets: every image is counted once in each."""

from pipeline.review.browsing.session import Session


def test_every_image_is_counted_once_in_each(session: Session) -> None:
    facets = session.facets
    assert facets.verdict == [("real", 4), ("generated", 3), ("none", 1), ("unsure", 1)]
    assert facets.status == [("ok", 8), ("truncated", 1)]
    assert facets.declared == [("nothing", 6), ("generated", 2), ("camera", 1)]
    assert facets.generator == [("dreamy <8>", 2)]
    assert facets.model == [("new", 9)]
    assert [images for _, images in facets.source] == [6, 3]
    assert (facets.contradicted, facets.changed) == (2, 2)
