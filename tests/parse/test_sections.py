import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.sections import parse_sections


def test_sections_keep_the_order_of_their_settings():
    lines = [
        "[Match]",
        "OriginalName=cali* flannel*",
        "[Link]",
        "MACAddressPolicy = none",
        "[Link]",
    ]
    match, link, empty = parse_sections(lines)

    assert (match.name, match.settings) == ("Match", [("OriginalName", "cali* flannel*")])
    assert link.last("MACAddressPolicy") == "none"
    assert (empty.name, empty.settings, empty.last("MACAddress")) == ("Link", [], "")


def test_a_list_goes_on_until_an_empty_value_takes_it_back():
    (section,) = parse_sections(["[Match]", "Kind=veth", "Kind=bridge vxlan"])
    assert section.words("Kind") == ("veth", "bridge", "vxlan")

    (section,) = parse_sections(["[Match]", "Kind=veth", "Kind=", "Kind=bridge"])
    assert section.words("Kind") == ("bridge",)


@pytest.mark.parametrize("lines", [["Kind=veth"], ["[Match]", "no setting"], ["[Match"]])
def test_what_is_no_setting_is_an_error_with_its_line(lines):
    with pytest.raises(ParseError, match=f"line {len(lines)} is neither"):
        parse_sections(lines)
