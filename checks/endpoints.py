"""Endpoints: that Services have those pods behind them that they should have."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings
from wirecheck.catalogue.registry import check
from wirecheck.model.cluster import Cluster

CONTROLLER = (
    "kube-controller-manager keeps EndpointSlices: see that it runs and leads, and what its log "
    "says of this Service. A slice that nothing owns any more has to be deleted by hand."
)


@check(settles=True, remedy=CONTROLLER, looks_at=[Fact.API])
def match_pods(cluster: Cluster) -> Findings:
    """Every endpoint is an address of the pod that it names, and that pod is there.

    Connections to an address whose pod is gone hang, or reach a stranger that was given the
    address since.

    Except: endpoints that name no pod may be anything, and are left alone.

    See: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
         https://github.com/kubernetes/kubernetes/issues/82494
         https://github.com/kubernetes/kubernetes/issues/62935
    """
    for endpoint in cluster.endpoints:
        if mismatch := endpoint.mismatch:
            yield Finding(
                endpoint,
                expected=endpoint.description,
                found=mismatch,
                concerns=endpoint.concerns,
                key=endpoint.key,
            )


@check(settles=True, remedy=CONTROLLER, looks_at=[Fact.API])
def readiness_matches(cluster: Cluster) -> Findings:
    """An endpoint is ready exactly when its pod is ready and not being deleted.

    Else Services send connections to pods that cannot serve them, or leave out pods that can.

    Except: slices that the EndpointSlice controller does not manage say themselves what is
    ready; publishNotReadyAddresses makes every pod count.

    See: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
         https://github.com/kubernetes/kubernetes/issues/82494
    """
    words = {True: "ready", False: "not ready"}
    for endpoint in cluster.endpoints:
        wanted = endpoint.should_be_ready
        if wanted is not None and wanted != endpoint.is_ready:
            yield Finding(
                endpoint,
                expected=f"{endpoint.description}: {words[wanted]}, as the pod is",
                found=words[endpoint.is_ready],
                concerns=endpoint.concerns,
                key=endpoint.key,
            )


@check(settles=True, remedy=CONTROLLER, looks_at=[Fact.API])
def complete(cluster: Cluster) -> Findings:
    """Every ready pod that a Service selects is one of its endpoints.

    A pod that no Service knows idles; a Service that knows none of its pods is down, with all
    of them Running and Ready.

    Except: services without a selector have endpoints that somebody else makes.

    See: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
         https://github.com/kubernetes/kubernetes/issues/107927
    """
    for each in cluster.missing_endpoints:
        yield Finding(
            each,
            expected=f"{each.pod.ref} among its endpoints",
            found="it is missing",
            concerns=[each.pod],
            key=str(each.pod.ref),
        )
