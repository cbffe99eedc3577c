"""A challenger is held beside the model on the images that both gave a verdict, and counted on all that it judged."""

from pathlib import Path

from pipeline.review.analysis.challenger import Challenger, challenger
from pipeline.scan.table.views import open_views
from tests.verdicts import verdict_row, write_verdicts


def test_agreement_is_of_the_images_that_both_gave_a_verdict(tmp_path: Path) -> None:
    old = [verdict_row("a.tar#1", index, verdict=verdict) for index, verdict in enumerate(["real", "real", "unsure"])]
    old.append(verdict_row("a.tar#1", 3, status="truncated"))
    new = [
        verdict_row("a.tar#1", index, model="new", verdict=verdict)
        for index, verdict in enumerate(["real", "generated", "unsure", "generated", "generated"])
    ]
    with open_views(str(write_verdicts(tmp_path, old, new))) as views:
        assert challenger(views, "old", "new") == Challenger("new", {"generated": 3, "real": 1, "unsure": 1}, 3, 2)
        assert challenger(views, "old", "none") == Challenger("none", {}, 0, 0)
