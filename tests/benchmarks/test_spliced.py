"""Files that share a part are whole gzip files."""

import gzip

from benchmarks.spliced import Shared, gzipped


def test_the_parts_come_back_in_order():
    shared = Shared.of(b',"rules":"' + b"-A KUBE-SERVICES\n" * 10_000 + b'"')

    for own in (b"", b'{"name":"a"', b'{"name":"b"' * 100_000):
        assert gzip.decompress(gzipped(own, shared, b"}")) == own + shared.plain + b"}"
