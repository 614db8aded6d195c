from wirecheck.parse.resolv_conf import parse_resolv_conf


def test_a_file_as_kubelet_writes_it():
    conf = parse_resolv_conf(
        "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\noptions ndots:5\n"
    )

    assert conf.nameservers == ("10.96.0.10",)
    assert conf.searches == ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert conf.options == ("ndots:5",)


def test_the_last_search_line_counts_as_it_does_for_the_resolver():
    assert parse_resolv_conf("search a\ndomain b.\n").searches == ("b",)


def test_comments_and_blank_lines_are_nothing():
    assert parse_resolv_conf("# nameserver 1.1.1.1\n\n; search a\n").nameservers == ()


def test_an_unknown_keyword_is_kept_and_not_lost():
    assert parse_resolv_conf("nameservers 10.96.0.10\n").unknown == ("nameservers",)
