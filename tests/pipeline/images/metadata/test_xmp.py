"""Laws of xmp: a property is found however its packet is written, and no packet makes its reader work long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.metadata.xmp import MAX_DEPTH, MAX_VALUE_CHARACTERS, properties
from tests.declaring import GENERATED, SPACES, xmp

TOOL = "xmp:CreatorTool"
TYPE = "Iptc4xmpExt:DigitalSourceType"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('<rdf:Description xmp:CreatorTool="A &amp; B"/>', {TOOL: "A & B"}),
        ("<rdf:Description xmp:CreatorTool='A \"B\"'/>", {TOOL: 'A "B"'}),
        ("<rdf:Description xmp:CreatorTool = 'A'\n xmp:Rating='5'/>", {TOOL: "A"}),
        ("<xmp:CreatorTool>A<!-- no -->B</xmp:CreatorTool>", {TOOL: "AB"}),
        ("<xmp:CreatorTool><![CDATA[A<B]]></xmp:CreatorTool>", {TOOL: "A<B"}),
        (f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{GENERATED}"/>', {TYPE: GENERATED}),
        (
            "<dc:creator><rdf:Seq><rdf:li>first</rdf:li><rdf:li>second</rdf:li></rdf:Seq></dc:creator>",
            {"dc:creator": "first"},
        ),
        ("<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>T</rdf:li></rdf:Alt></dc:title>", {"dc:title": "T"}),
        ("<tiff:Make/><tiff:Model> </tiff:Model>", {}),
        ("<xmp:CreatorTool>A</xmp:CreatorTool><xmp:CreatorTool>B</xmp:CreatorTool>", {TOOL: "A"}),
        ("<rdf:Description dc:CreatorTool='other' photoshop:Make='other'/>", {}),
    ],
)
def test_a_property_is_read_as_attribute_element_and_list(body: str, found: dict[str, str]) -> None:
    assert properties(xmp(body)) == found


def test_prefixes_are_the_writers_own() -> None:
    own = {
        "x": SPACES["x"],
        "rdf": SPACES["rdf"],
        "ns1": SPACES["xmp"],
        "xmp": SPACES["tiff"],
        "i": SPACES["Iptc4xmpExt"],
    }
    body = f"<rdf:Description ns1:CreatorTool='A' xmp:Make='B'/><i:DigitalSourceType>{GENERATED}</i:DigitalSourceType>"
    assert properties(xmp(body, own)) == {TOOL: "A", "tiff:Make": "B", TYPE: GENERATED}


def test_an_address_may_be_the_default_and_a_prefix_undeclared() -> None:
    assert properties(b'<a><CreatorTool xmlns="http://ns.adobe.com/xap/1.0/">A</CreatorTool></a>') == {TOOL: "A"}
    assert properties(b"<a><xmp:CreatorTool>A</xmp:CreatorTool></a>") == {TOOL: "A"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_is_read_whatever_a_declaration_says(encoding: str) -> None:
    packet = "<?xml version='1.0' encoding='ascii'?>" + xmp("<xmp:CreatorTool>猫 é</xmp:CreatorTool>").decode()
    assert properties(packet.encode(encoding)) == {TOOL: "猫 é"}


def test_padding_and_what_stands_around_a_packet_do_no_harm() -> None:
    packet = b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>" + xmp(
        "<xmp:CreatorTool>A</xmp:CreatorTool>"
    )
    assert properties(b"\0\0" + packet + b"<?xpacket end='w'?>" + b"\0" * 99 + b"rubbish") == {TOOL: "A"}


def test_a_broken_packet_gives_what_came_before_the_break() -> None:
    whole = xmp("<xmp:CreatorTool>A tool</xmp:CreatorTool><tiff:Make>Acme</tiff:Make>")
    assert properties(whole[: whole.index(b"Acme") + 2]) == {TOOL: "A tool"}
    assert properties(whole.replace(b"<tiff", b"&nbsp;<tiff")) == {TOOL: "A tool"}
    assert properties(b"no packet") == {}
    assert properties(b"") == {}


def test_no_entity_is_expanded() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><a><xmp:CreatorTool>&b;</xmp:CreatorTool></a>'
    assert properties(bomb) == {}


def test_a_packet_deeper_or_longer_than_any_is_left() -> None:
    deep = b"<a>" * MAX_DEPTH + b"<xmp:CreatorTool>A</xmp:CreatorTool>"
    assert properties(deep) == {}
    assert properties(deep[3:]) == {TOOL: "A"}
    assert properties(xmp("<xmp:CreatorTool>" + "a" * 200_000 + "</xmp:CreatorTool>")) == {
        TOOL: "a" * MAX_VALUE_CHARACTERS
    }


@settings(max_examples=300, deadline=None, derandomize=True)
@given(edits=st.lists(st.tuples(st.integers(0, 900), st.sampled_from(b"<>&\"'/:; \0\xff")), max_size=6))
def test_no_packet_whatever_raises(edits: list[tuple[int, int]]) -> None:
    data = bytearray(xmp("<rdf:Description xmp:CreatorTool='A'/><dc:title><rdf:li>T</rdf:li></dc:title>"))
    for at, value in edits:
        data[at % len(data)] = value
    assert isinstance(properties(bytes(data)), dict)
