from wirecheck.parse.resolv_conf import parse_resolv_conf


def test_a_file_written_by_kubelet():
    conf = parse_resolv_conf(
        "search shop.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\noptions ndots:5\n"
    )

    assert conf.nameservers == ("10.96.0.10",)
    assert conf.searches == ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert conf.options == ("ndots:5",)


def test_the_last_search_line_counts():
    assert parse_resolv_conf("search a\ndomain b.\n").searches == ("b",)


def test_comments_and_blank_lines_are_ignored():
    assert parse_resolv_conf("# nameserver 1.1.1.1\n\n; search a\n").nameservers == ()


def test_an_unknown_keyword_is_kept():
    assert parse_resolv_conf("nameservers 10.96.0.10\n").unknown == ("nameservers",)
