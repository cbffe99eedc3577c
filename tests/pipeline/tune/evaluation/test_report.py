"""Laws of the report."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mole.measuring.calibration import Calibration
from mole.measuring.rates import Precision, Rate
from pipeline.tune.evaluation.conclusion import GLOSSARY
from pipeline.tune.evaluation.evaluate import ScoredEvaluation
from pipeline.tune.evaluation.logits import Logits
from pipeline.tune.evaluation.perturbation import shown_name
from pipeline.tune.evaluation.report import format_precision, format_rate, render
from tests.judged import DELIVERIES, judge_here, labelled
from tests.pages import Page
from tests.tiny import tiny_checkpoint

HOSTILE = "<script>alert('x')</script> $x^2$"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> ScoredEvaluation:
    """A tiny detector's judgement, of sources one of which has a name that is a page of its own."""
    folder = tmp_path_factory.mktemp("report")
    named = [replace(sample, source=HOSTILE) if sample.source == "painter" else sample for sample in labelled(folder)]
    return judge_here(named, tiny_checkpoint(folder / "model"))


@pytest.fixture(scope="module")
def page(judged: ScoredEvaluation) -> str:
    """The page."""
    table = Logits.of(judged.samples, judged.scored, DELIVERIES)
    return render(judged.evaluation, judged.samples, table, ["seen through another view"])


def test_the_page_needs_nothing_from_anywhere(page: str) -> None:
    leads = [place for place in Page(page).fetched if not place.startswith(("data:image/", "#"))]
    assert leads == []
    assert not re.search(r"@import|url\((?!#)", page)


def test_a_name_is_text_and_never_a_tag(page: str) -> None:
    assert "script" not in Page(page).tags
    assert "&lt;script&gt;" in page


def test_the_page_lists_every_generator_perturbation_and_exclusion(judged: ScoredEvaluation, page: str) -> None:
    for word in (
        "progan",
        "holiday",
        *map(shown_name, DELIVERIES),
        judged.evaluation.digest,
        "1 truncated",
        "seen through another view",
    ):
        assert word in page


def test_mistakes_link_to_their_images_and_have_a_probability(judged: ScoredEvaluation) -> None:
    never = judged.evaluation.model_copy(update={"calibration": Calibration(real_below=50, generated_above=50)})
    page = render(never, judged.samples, Logits.of(judged.samples, judged.scored, DELIVERIES))
    links = Page(page).links
    assert set(links) < {Path(sample.uri).as_uri() for sample in judged.samples}
    assert len(re.findall(r">probability [01]\.\d{3}, ", page)) == len(links) == 12


def test_plots_take_their_colours_from_the_page(page: str) -> None:
    assert "stroke: currentColor" in page and "stroke: #000000" not in page
    assert "var(--real, #2166ac)" in page and "prefers-color-scheme: dark" in page


def test_the_page_draws_what_it_promises(page: str) -> None:
    tags = Page(page).tags
    assert tags.count("svg") == 7
    assert tags.count("img") == page.count("data:image/jpeg")


def test_a_rate_that_is_refused_says_how_many_images_it_needs(page: str) -> None:
    assert "needs 299 real images" in page and "needs 2,995 real images" in page


def test_shares_are_written_with_their_bounds() -> None:
    assert format_rate(Rate(1, 4, 0.25, 0.006, 0.806)) == "25.0% (0.6% to 80.6%)"
    assert format_rate(None) == ""
    assert format_precision(Precision(0.01, None, 0.0, 1.0)) == "none called (0.0% to 100.0%)"


def test_one_perturbation_alone_is_a_page_too(judged: ScoredEvaluation) -> None:
    alone = judge_here(judged.samples, Path(judged.evaluation.model), ("shipped",))
    table = Logits.of(alone.samples, alone.scored, ("shipped",))
    assert Page(render(alone.evaluation, alone.samples, table)).tags.count("svg") == 6


def test_the_page_has_a_date_a_conclusion_and_a_glossary(judged: ScoredEvaluation, page: str) -> None:
    assert judged.evaluation.made is not None and f"{judged.evaluation.made:%Y-%m-%d}" in page
    assert "of 18 real images are called generated" in page
    assert all(f"<dt>{term}</dt>" in page for term in GLOSSARY)


def test_each_table_separates_seen_from_unseen_images(judged: ScoredEvaluation) -> None:
    apart = judged.evaluation.model_copy(update={"which": "seen"})
    both = judged.evaluation.model_copy(update={"which": "unseen", "apart": apart})
    page = render(both, judged.samples, Logits.of(judged.samples, judged.scored, DELIVERIES))
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert len(tables) == 4
    for table in tables:
        assert (
            table.count('<td class="word">never seen</td>') == table.count('<td class="word">seen in training</td>') > 0
        )


def test_a_version_that_does_not_list_its_training_images_says_so(judged: ScoredEvaluation, page: str) -> None:
    assert "does not list its training images" in page
