"""What a listing that lies elsewhere names reads no file of this machine and asks no server behind its walls."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.records import Status
from pipeline.storage import storage, stream
from pipeline.storage.access_policy import AccessPolicy, Trust, access_policy_of, is_public, origin_of, trust
from pipeline.storage.fault import STORE_FAULTS, fault_of, is_refused, is_transient
from tests.web import Request, Site, site

PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "fec0::1"),
    *("fd00:ec2::254", "fc00::1", "ff02::1", "ff0e::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1"),
    *(
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:db8::1",
        "2001::7f00:1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "localhost",
    ),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_behind_the_walls_is_not_public_in_any_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        *("/etc/passwd", "photos/a.jpg", "file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "local://x"),
        *(
            "memory://a",
            "ftp://h/a.jpg",
            "sftp://h/a.jpg",
            "http:/127.0.0.1/a.jpg",
            "//127.0.0.1/a.jpg",
            "github://a:b@c/d",
        ),
    ],
)
def test_files_of_this_machine_and_other_protocols_are_refused_before_they_are_opened(url: str) -> None:
    with pytest.raises(PermissionError, match="refused: a listing that lies elsewhere names") as caught:
        storage.read(url, policy=AccessPolicy("http://example.org"))
    assert fault_of(caught.value)[0] is Status.FORBIDDEN


def test_the_web_object_stores_and_the_place_of_the_listing_itself_are_within_reach() -> None:
    policy = AccessPolicy("abfs://container")
    for url in ("https://example.org/a.jpg", "s3://b/a.jpg", "gs://b/a.jpg", "abfs://container/a.jpg"):
        policy.check(url)
    with pytest.raises(PermissionError, match="a place by abfs:"):
        policy.check("abfs://other/a.jpg")


@pytest.mark.parametrize(
    ("origin", "permitted"),
    [("http://10.0.0.5:8000", True), ("http://10.0.0.5", False), ("http://evil.example:8000", False), ("", False)],
)
def test_the_server_of_the_listing_is_within_reach_by_its_address_and_port_alone(origin: str, permitted: bool) -> None:
    assert AccessPolicy(origin).permits("10.0.0.5", 8000) is permitted


def test_a_name_of_the_listings_server_permits_no_private_address() -> None:
    assert not AccessPolicy("http://intranet.example").permits("10.0.0.5", 80)
    assert AccessPolicy("http://localhost:8000").permits("127.0.0.1", 8000)
    assert not AccessPolicy("http://localhost:8000").permits("127.0.0.1", 8001)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://me:pw@10.0.0.5:8000/list.txt?a=1", "http://10.0.0.5:8000"),
        ("HTTPS://Example.ORG#x", "https://example.org"),
        ("s3://bucket/list.txt", "s3://bucket"),
        ("http://10.0.0.5?@evil/", "http://10.0.0.5"),
    ],
)
def test_the_origin_is_protocol_and_host(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_listing_on_this_machine_is_trusted_and_one_elsewhere_is_not() -> None:
    assert access_policy_of("/data/list.txt", Trust.LOCAL) is None
    assert access_policy_of("file:///data/list.txt", Trust.LOCAL) is None
    assert access_policy_of(None, Trust.NONE) is None
    assert access_policy_of("https://h/list.txt", Trust.ALL) is None
    assert access_policy_of("https://h/list.txt", Trust.LOCAL) == AccessPolicy("https://h")
    assert access_policy_of("/data/list.txt", Trust.NONE) == AccessPolicy()


def test_another_word_for_trust_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trust() is Trust.LOCAL
    monkeypatch.setenv("MOLE_TRUST_LISTINGS", "yes")
    with pytest.raises(SettingsError, match="MOLE_TRUST_LISTINGS='yes' must be one of local, all, none"):
        trust()


def redirect(place: str, status: http.HTTPStatus = http.HTTPStatus.FOUND) -> object:
    """Answer with another place."""
    return lambda request: request.send(
        f"HTTP/1.1 {status.value} x", f"Location: {place}", "Content-Length: 0", "Connection: close"
    )


@pytest.fixture
def inner() -> Iterator[Site]:
    """A server behind the walls."""
    with site({"/secret": lambda request: request.ranged(b"secret")}) as running:
        yield running


@pytest.fixture
def outer(inner: Site, tmp_path: Path) -> Iterator[Site]:
    """A server that redirects to the one behind the walls, and to a file."""
    (tmp_path / "secret").write_bytes(b"secret")
    routes: dict[str, object] = {
        "/own": lambda request: request.ranged(b"own"),
        "/again": redirect("/own"),
        "/address": redirect(f"{inner.url}/secret"),
        "/name": redirect(f"{inner.url.replace('127.0.0.1', 'localhost')}/secret"),
        "/mapped": redirect(f"{inner.url.replace('127.0.0.1', '[::ffff:127.0.0.1]')}/secret"),
        "/kept": redirect(f"{inner.url}/secret", http.HTTPStatus.PERMANENT_REDIRECT),
        "/twice": redirect("/address"),
        "/file": redirect(f"file://{tmp_path}/secret"),
    }
    with site(routes) as running:  # type: ignore[arg-type]
        yield running


@pytest.mark.parametrize("path", ["/address", "/name", "/mapped", "/kept", "/twice", "/file"])
def test_a_redirect_leads_no_further_than_a_name_in_the_listing(path: str, outer: Site, inner: Site) -> None:
    policy, url = AccessPolicy(outer.url), f"{outer.url}{path}"
    calls = (
        lambda: storage.read(url, policy=policy),
        lambda: storage.read(url, max_bytes=9, policy=policy),
        lambda: storage.read_range(url, 0, 2, policy=policy),
        lambda: storage.info(url, policy=policy),
        lambda: stream.open_stream(url, policy).read(),
    )
    for call in calls:
        with pytest.raises(STORE_FAULTS) as caught:
            call()
        assert path == "/file" or is_refused(caught.value)
        assert not is_transient(caught.value)
    assert inner.connections == 0 and inner.asked == []
    if path != "/file":
        assert storage.read(url) == b"secret", "the test's own redirects work where everything is allowed"


def test_a_redirect_within_the_listings_server_is_followed(outer: Site) -> None:
    assert storage.read(f"{outer.url}/again", policy=AccessPolicy(outer.url)) == b"own"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_the_address_of_the_connection_is_judged_and_not_the_name(host: str, inner: Site) -> None:
    url = f"{inner.url.replace('127.0.0.1', host)}/secret"
    assert storage.read(url) == b"secret"
    with pytest.raises(STORE_FAULTS) as caught:
        storage.read(url, policy=AccessPolicy("https://example.org"))
    status, detail = fault_of(caught.value)
    assert status is Status.FORBIDDEN
    assert detail == (
        "refused: a listing that lies elsewhere leads to a loopback, link-local, private or reserved address "
        "(MOLE_TRUST_LISTINGS=all allows it)"
    )
    assert inner.connections == 1


def test_answers_without_reach_and_within_are_kept_apart(inner: Site, outer: Site) -> None:
    def copied(request: Request) -> None:
        request.whole(b"copied")  # a server without ranges, whose file is copied

    outer.routes["/copied"] = copied
    inner.routes["/copied"] = copied
    assert storage.read_range(f"{inner.url}/copied", 0, 3) == b"cop"
    with pytest.raises(STORE_FAULTS):
        storage.read_range(f"{inner.url}/copied", 0, 3, policy=AccessPolicy(outer.url))
