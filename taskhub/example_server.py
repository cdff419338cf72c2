"""What the servers of the examples share. Each is a process of its own, and nothing but Python."""

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ExampleHandler(BaseHTTPRequestHandler):
    """Answers the requests of an example."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def answer(self, status: int, content_type: str, text: str | bytes, headers: dict[str, str] | None = None) -> None:
        body = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: whoever calls has records of its own."""


def serve(handler: type[ExampleHandler], *, name: str, description: str | None, port: int) -> None:
    """Serves an example as its command line says (`--host`, `--port`), and prints where it is."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port)
    options = parser.parse_args()
    ThreadingHTTPServer.request_queue_size = 128  # connections that come at once
    with ThreadingHTTPServer((options.host, options.port), handler) as server:
        print(f"The {name} is at http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever()
