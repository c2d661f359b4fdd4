"""A receiver of OTLP that knows nothing of coord: it reads with the official messages.

receiver.py serve         listens on a free port of this machine, prints it, then a line of JSON for each request
receiver.py file FILE     reads OTLP/JSON lines and prints the same for each line
"""

import base64
import http.server
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(v) for v in any_value.array_value.values]
    if kind == "kvlist_value":
        return pairs(any_value.kvlist_value.values)
    return getattr(any_value, kind) if kind else None


def pairs(attributes):
    found = {pair.key: value(pair.value) for pair in attributes}
    assert len(found) == len(attributes), "an attribute is there twice"
    return found


def told(request):
    spans = []
    for of in request.resource_spans:
        for scope in of.scope_spans:
            for span in scope.spans:
                spans.append(
                    {
                        "resource": pairs(of.resource.attributes),
                        "scope": scope.scope.name,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_span_id": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": span.kind,
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "attributes": pairs(span.attributes),
                        "code": span.status.code,
                        "message": span.status.message,
                        "flags": span.flags,
                    }
                )
    return spans


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert self.headers["content-type"] == "application/x-protobuf", self.headers
        request = service.ExportTraceServiceRequest.FromString(body)
        seen = {"path": self.path, "headers": dict(self.headers), "spans": told(request)}
        print(json.dumps(seen), flush=True)
        answer = service.ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def as_base64(node):
    """OTLP/JSON has ids in hex where the JSON of protobuf has base64."""
    if isinstance(node, list):
        return [as_base64(v) for v in node]
    if not isinstance(node, dict):
        return node
    ids = ("traceId", "spanId", "parentSpanId")
    recoded = {k: as_base64(v) for k, v in node.items()}
    for key in ids:
        if key in recoded:
            recoded[key] = base64.b64encode(bytes.fromhex(recoded[key])).decode()
    return recoded


if sys.argv[1] == "serve":
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
else:
    with open(sys.argv[2]) as lines:
        for line in lines:
            request = json_format.ParseDict(as_base64(json.loads(line)), service.ExportTraceServiceRequest())
            print(json.dumps({"spans": told(request)}), flush=True)
