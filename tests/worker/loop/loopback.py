"""The in-memory service on a port of this machine, for workers in processes of their own."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from tests.worker.loop.fake_service import FakeService


@contextmanager
def on_loopback(service: FakeService) -> Iterator[str]:
    """Serve `service`; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://{self.headers['Host']}{self.path}"
            reply = service.handle(
                httpx.Request(self.command, url, headers=list(self.headers.items()), content=body)
            )
            with suppress(ConnectionError):  # the process may have ended meanwhile
                self.send_response(reply.status_code)
                self.send_header("Content-Length", str(len(reply.content)))
                self.end_headers()
                self.wfile.write(reply.content)

        do_GET = do_POST = do_PUT = _handle  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        service.close()
        server.shutdown()
        server.server_close()
        thread.join()
