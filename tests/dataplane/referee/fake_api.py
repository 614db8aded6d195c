"""A Kubernetes API with as much in it as kube-proxy asks for: fixed objects, no changes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

KINDS = {
    "/api/v1/services": ("v1", "ServiceList"),
    "/api/v1/nodes": ("v1", "NodeList"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSliceList"),
    "/apis/networking.k8s.io/v1/servicecidrs": ("networking.k8s.io/v1", "ServiceCIDRList"),
    "/apis/networking.k8s.io/v1beta1/servicecidrs": (
        "networking.k8s.io/v1beta1",
        "ServiceCIDRList",
    ),
}


class FakeApi:
    """Serves `objects`, lists by resource (services, nodes, endpointslices), on a free port."""

    def __init__(self, objects: dict[str, list[dict]], address: str = "127.0.0.1") -> None:
        self.objects = objects
        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer((address, 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://{address}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def _handler(api) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                if query.get("watch") in ("true", "1"):
                    self.watch(query)
                elif url.path in KINDS:
                    self.answer(200, api.list(url.path, query))
                elif url.path.startswith("/api/v1/nodes/"):
                    name = url.path.rpartition("/")[2]
                    self.answer(200, api.node(name))
                elif url.path == "/version":
                    self.answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.4"})
                else:
                    self.answer(404, status(404, "NotFound"))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.answer(201, json.loads(body))

            do_PATCH = do_POST  # noqa: N815

            def watch(self, query: dict[str, str]) -> None:
                if "sendInitialEvents" in query:
                    self.answer(422, status(422, "Invalid"))
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                api.stopped.wait(300)
                self.close_connection = True

            def answer(self, code: int, body: dict) -> None:
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def list(self, path: str, query: dict[str, str]) -> dict:
        version, kind = KINDS[path]
        items = self.objects.get(path.rpartition("/")[2], [])
        for selector in filter(None, query.get("labelSelector", "").split(",")):
            assert selector.startswith("!"), selector
            items = [i for i in items if selector[1:] not in i["metadata"].get("labels", {})]
        match query.get("fieldSelector", "").split("="):
            case ["metadata.name", name]:
                items = [item for item in items if item["metadata"]["name"] == name]
            case ["spec.clusterIP!", value]:
                items = [item for item in items if item["spec"].get("clusterIP") != value]
            case selector:
                assert selector == [""], selector
        meta = {"resourceVersion": "1"}
        return {"apiVersion": version, "kind": kind, "metadata": meta, "items": items}

    def node(self, name: str) -> dict:
        (found,) = [each for each in self.objects["nodes"] if each["metadata"]["name"] == name]
        return {"apiVersion": "v1", "kind": "Node", **found}


def status(code: int, reason: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": reason,
        "code": code,
    }
