"""Objects: whether every field of the API objects that checks rely on can be read."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.model.cluster import Cluster


@check(
    remedy="Correct the field: `kubectl -n {namespace} edit {resource} {object}`. A pod's spec is "
    "immutable: correct its workload. Until then the object is checked without this field.",
    facts=[Fact.API],
)
def readable_fields(cluster: Cluster) -> Findings:
    """Every address, range and port in the API objects is valid, and in its usual form.

    The API server accepts any text in some fields, and old forms of addresses in others. Components
    read these differently: `010.0.0.8` is 10.0.0.8 for Kubernetes, 8.0.0.8 for the C library, and
    an error for most CNI plugins.

    Except: what is left out is named here, and everything else about the object is checked.

    See: https://github.com/kubernetes/enhancements/issues/4858
         https://nvd.nist.gov/vuln/detail/CVE-2021-29923
    """
    for each in cluster.odd_fields:
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            level=Level.WARN,
            names={"resource": each.resource, "object": each.ref.name},
            remedy=each.remedy,
        )
    for problem in cluster.round.unplanned:
        yield Finding(
            cluster.part("plan"), expected="a plan", found=problem, level=Level.ERROR, key=problem
        )
