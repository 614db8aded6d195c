"""Endpoints: whether EndpointSlices list the pods that Services select."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, Level, Threshold, check
from wirecheck.catalogue.settling import API_ALONE, COMING_AND_GOING, OF_DELETED
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

LISTENING_AFTER = Threshold(
    "endpoints.listening_after",
    60,
    "seconds",
    "a pod without a readiness probe is Ready while its program still starts",
)

CONTROLLER = (
    "Show the slices: `kubectl -n {namespace} get endpointslices -l "
    "kubernetes.io/service-name={service} -o yaml`. kube-controller-manager maintains them; read "
    "its log: `kubectl -n kube-system logs -l component=kube-controller-manager`. Delete a slice "
    "that no controller owns."
)


@check(settles=OF_DELETED, remedy=CONTROLLER, facts=[Fact.API])
def match_pods(cluster: Cluster) -> Findings:
    """Every endpoint that names a pod has an address of that pod, and the pod exists.

    Connections to the address of a deleted pod time out, or reach another pod that got the address
    since.

    Except: endpoints that do not name a pod can be anything.

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


@check(settles=API_ALONE, remedy=CONTROLLER, facts=[Fact.API])
def readiness_matches(cluster: Cluster) -> Findings:
    """An endpoint is ready if and only if its pod is Ready and not terminating.

    Otherwise Services send connections to pods that cannot serve them, or skip pods that can.

    Except: slices that the EndpointSlice controller does not manage define readiness themselves.
    With publishNotReadyAddresses every pod counts as ready.

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


@check(settles=API_ALONE, remedy=CONTROLLER, facts=[Fact.API])
def complete(cluster: Cluster) -> Findings:
    """Every Ready pod that a Service selects is one of its endpoints.

    A missing pod gets no connections. If all are missing, the Service is down, although its pods
    are Running and Ready.

    Except: Services without a selector, whose endpoints somebody else maintains.

    See: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
         https://github.com/kubernetes/kubernetes/issues/107927
    """
    for each in cluster.missing_endpoints:
        yield Finding(
            each,
            expected=f"{each.pod.ref} among its endpoints",
            found="missing",
            concerns=[each.pod],
            key=str(each.pod.ref),
        )


@check(
    counts=True,
    settles=COMING_AND_GOING,
    thresholds=(LISTENING_AFTER,),
    remedy="Show the Service's ports: `kubectl -n {namespace} get service {service} -o "
    "jsonpath='{.spec.ports}'`. Show what the pod listens on, on {node}: `nsenter --net={netns} "
    "ss -ltn`. Correct targetPort in the Service, or configure the program to listen at that port "
    "of all addresses.",
    facts=[Fact.LISTENERS, Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def accept_connections(node: Node) -> Findings:
    """Every Ready pod behind a Service listens at the TCP port that the Service forwards to.

    Otherwise connections through the Service are refused, always or whenever that pod is chosen,
    although the pod is Ready. The usual cause is a wrong targetPort, or a program that listens on
    127.0.0.1 only.

    Except: headless Services, because nothing forwards to their ports. Pods with packet filter
    rules in their network namespace, such as those of a mesh, and pods whose sockets are inside a
    sandbox or a virtual machine are inconclusive. Where the kernel module tcp_diag is not loaded,
    an IPv6 socket at all addresses counts as accepting IPv4. If the run makes connections, one from
    the node is tried: if it is refused, that is evidence; if it is accepted, the port is served.

    See: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
    """
    for each in node.listening.unserved(node.threshold(LISTENING_AFTER)):
        yield Finding(
            each.first.port,
            expected=each.expected,
            found=each.found,
            level=Level.WARN,
            evidence=each.evidence,
            concerns=[unserved.port.pod for unserved in each.pods],
            inconclusive=each.first.inconclusive,
            key=each.key,
            names={"netns": each.netns},
        )
    if node.listening.has_served:
        yield CONCLUSIVE


@check(
    settles=API_ALONE,
    remedy="Compare the selector with the labels of the pods: `kubectl -n {namespace} get service "
    "{service} -o jsonpath='{.spec.selector}'` and `kubectl -n {namespace} get pods "
    "--show-labels`. Correct whichever is wrong in the manifest that creates it.",
    facts=[Fact.API],
)
def selector_matches(cluster: Cluster) -> Findings:
    """No Service selects nothing while pods with nearly the same labels run in its namespace.

    One mistyped label leaves the Service without endpoints. Connections to it are refused, although
    its pods are Running and Ready.

    Except: the labels count as nearly the same if one value differs by case, separators or one
    letter, or if another key has the same value. A key that several workloads share, such as
    app.kubernetes.io/instance, does not count for one that names a workload. A Service for a
    workload without replicas passes. It is a failure only for the cluster's DNS Service.

    See: https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
    """
    for each in cluster.selector_mismatches:
        yield Finding(
            each,
            expected=f"pods with {each.selector}",
            found=f"none, but {each.pod.ref} has {each.labels}",
            level=Level.FAIL if each.is_dns else Level.WARN,
            concerns=[each.pod],
            key="selector",
        )


@check(
    settles=OF_DELETED,
    remedy="Show the slice and who manages it: `kubectl -n {namespace} get endpointslice {slice} "
    "-o yaml`. Correct it where it is written: {manager}.",
    facts=[Fact.API],
)
def addresses_exist(cluster: Cluster) -> Findings:
    """Slices of other managers list no address that is a node's, or that no pod has any more.

    A controller that only adds endpoints leaves the addresses of deleted pods behind. Connections
    to them time out, or reach whatever listens on the node.

    Except: endpoints that name a pod, which endpoints.match_pods covers, addresses outside the
    nodes' pod ranges, and nodes' addresses of a Service without a selector.

    See: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#management
    """
    for each in cluster.wrong_addresses:
        yield Finding(
            each,
            expected=f"{each.address} to be an endpoint of the Service",
            found=each.found,
            concerns=each.concerns,
            key=str(each.address),
            names={"slice": each.slice.metadata.name, "manager": each.manager},
        )
