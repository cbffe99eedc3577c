"""Laws of the query: an address and SQL say the same, and pages follow one another without gap or repetition."""

import pytest
from starlette.datastructures import QueryParams

from mole.errors import SettingsError
from pipeline.review.browsing.query import SORTS, Query
from pipeline.review.browsing.session import Session


@pytest.mark.parametrize(
    "address",
    [
        "",
        "verdict=real&verdict=none&least=0.1&sort=oldest",
        "source=a%2Fb&contradicted=1&condition=width+%3E+10&labelled=no",
    ],
)
def test_a_question_is_read_back_from_its_address(address: str) -> None:
    query = Query.parse(QueryParams(address))
    assert Query.parse(QueryParams(query.address)) == query
    assert query.is_open == (not address)


@pytest.mark.parametrize("sort", SORTS)
def test_following_one_image_after_another_meets_each_once(session: Session, sort: str) -> None:
    query = Query(sort=sort)
    there = [row["id"] for row in session.snapshot.ask(*query.page(100))]
    assert sorted(there) == list(range(1, 10))
    forward, number = [there[0]], there[0]
    while (number := session.neighbours(query, number)[1] or 0) != 0:
        forward.append(number)
    back, number = [there[-1]], there[-1]
    while (number := session.neighbours(query, number)[0] or 0) != 0:
        back.append(number)
    assert forward == there == back[::-1]


@pytest.mark.parametrize(
    "condition",
    [
        "1=1) UNION SELECT 1 FROM images WHERE (1=1",
        "true; DELETE FROM marks",
        "width >",
        "a, b",
        "width = ?",
        "*",
        "count(*) > 1",
    ],
)
def test_a_condition_is_one_expression_on_a_row(session: Session, condition: str) -> None:
    with pytest.raises(SettingsError):
        session.count(Query.parse(QueryParams({"condition": condition})))


def test_a_comment_ends_with_the_condition(session: Session) -> None:
    assert session.count(Query.parse(QueryParams({"condition": "true -- )", "verdict": "unsure"}))) == 1


def test_a_value_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="Probability from must be a number from 0 to 1, got '-3'"):
        Query.parse(QueryParams("least=-3"))
    with pytest.raises(SettingsError, match="Status must be one of ok, .* got 'fine'"):
        Query.parse(QueryParams("status=fine"))
    with pytest.raises(SettingsError, match="Folder or domain must have at most 2,000"):
        Query.parse(QueryParams({"source": "x" * 3000}))


def test_a_number_may_have_a_comma() -> None:
    query = Query.parse(QueryParams({"least": "0,25", "most": "1"}))
    assert (query.least, query.most) == (0.25, 1.0)
