"""Laws of the guard: who may ask, and what a browser may do with the answer."""

import pytest
from starlette.testclient import TestClient

from pipeline.review.browsing.app import application
from pipeline.review.browsing.session import Session
from tests.pipeline.review.browsing.conftest import HOST, PORT

PATHS = ("/", "/image/1", "/thumbnail/1", "/large/1", "/seen/1", "/heat/1", "/state", "/static/browse.js")


@pytest.fixture
def stranger(session: Session) -> TestClient:
    """Who can reach the port and has no token."""
    return TestClient(application(session, PORT), base_url=HOST, follow_redirects=False)


def test_nothing_is_shown_without_the_token(stranger: TestClient) -> None:
    for path in PATHS:
        assert stranger.get(path).status_code == 403
    for wrong in ("x", "é", ""):
        assert stranger.get("/", params={"token": wrong}).status_code == 403
        assert stranger.get("/", headers={b"cookie": f"mole_browse_{PORT}={wrong}".encode()}).status_code == 403
    for path in ("/label", "/undo"):
        assert stranger.post(path, headers={"origin": HOST}).status_code == 403


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(
    session: Session, stranger: TestClient
) -> None:
    answer = stranger.get("/", params={"token": session.token})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    told = answer.headers["set-cookie"].lower()
    assert told.startswith(f"mole_browse_{PORT}=") and "httponly" in told and "samesite=strict" in told
    assert stranger.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", ""])
def test_another_host_name_is_refused_even_with_the_token(client: TestClient, session: Session, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 421
    assert client.get("/", params={"token": session.token}, headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": f"localhost:{PORT}"}).status_code in (200, 403)  # its cookies are its own


def test_a_page_of_another_site_changes_and_reads_nothing(client: TestClient, session: Session) -> None:
    form = {"id": "1", "unit": "u", "index": "0", "label": "real"}
    for origin in ("http://evil.example", f"http://127.0.0.1:{PORT + 1}", "null", None):
        headers = {} if origin is None else {"origin": origin}
        assert client.post("/label", data=form, headers=headers).status_code == 403
        assert client.post("/undo", headers=headers).status_code == 403
    for site in ("cross-site", "same-site"):
        assert client.get("/thumbnail/1", headers={"sec-fetch-site": site}).status_code == 403
    assert session.labelling.written == 0


def test_nothing_is_changed_by_get(client: TestClient, session: Session) -> None:
    for path in ("/label", "/undo"):
        assert client.get(path, params={"id": 1, "label": "real"}).status_code == 405
    assert session.labelling.written == 0


def test_every_answer_forbids_what_is_not_its_own(client: TestClient, stranger: TestClient) -> None:
    for answer in (client.get("/"), client.get("/image/1"), client.get("/thumbnail/1"), stranger.get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
