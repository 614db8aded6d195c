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


def test_an_empty_value_clears_a_list():
    (section,) = parse_sections(["[Match]", "Kind=veth", "Kind=bridge vxlan"])
    assert section.words("Kind") == ("veth", "bridge", "vxlan")

    (section,) = parse_sections(["[Match]", "Kind=veth", "Kind=", "Kind=bridge"])
    assert section.words("Kind") == ("bridge",)


@pytest.mark.parametrize("lines", [["Kind=veth"], ["[Match]", "no setting"], ["[Match"]])
def test_a_line_without_a_setting_is_an_error_that_names_it(lines):
    with pytest.raises(ParseError, match=f"line {len(lines)} is neither"):
        parse_sections(lines)
