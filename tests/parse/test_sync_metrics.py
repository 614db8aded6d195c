import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.sync_metrics import Sync, parse_sync_metrics

STAMP = "kubeproxy_sync_proxy_rules_last_{}timestamp_seconds"


def test_each_family_has_its_own_syncs():
    text = "\n".join(
        f'{STAMP.format(word)}{{ip_family="{family}"}} {value}'
        for word, family, value in (
            ("queued_", "IPv4", "1.7954132841304767e+09"),
            ("queued_", "IPv6", "10"),
            ("", "IPv4", "1.7954132842089982e+09"),
            ("", "IPv6", "9"),
        )
    )
    four, six = parse_sync_metrics(text)

    assert four == Sync("IPv4", 1795413284.1304767, 1795413284.2089982)
    assert not four.is_waiting
    assert six.is_waiting


def test_before_1_33_one_metric_covers_both_families():
    text = f"{STAMP.format('queued_')} 5\n{STAMP.format('')} 4\n"

    assert parse_sync_metrics(text) == (Sync("", 5.0, 4.0),)


def test_a_family_that_never_synced_is_waiting():
    assert parse_sync_metrics(f"{STAMP.format('queued_')} 5\n")[0].is_waiting


def test_without_metrics_there_are_no_syncs():
    assert parse_sync_metrics("") == ()


@pytest.mark.parametrize("text", ["kubeproxy_sync{", "<html>busy</html>", "a b c d"])
def test_invalid_metrics_are_an_error(text):
    with pytest.raises(ParseError, match="metrics"):
        parse_sync_metrics(text)
