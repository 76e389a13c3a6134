"""Serve one page to a browser on this machine."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .. import errors

HOST = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """A server of one page at `/`, which only this machine can reach."""

    daemon_threads = True
    page = b""

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless the browser closed the connection.

        request, client_address: The request and its sender.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """A handler that answers every request with the server's page."""

    def do_GET(self) -> None:
        """Send the page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send the headers of the page."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the requests for one page are of no interest."""

    def _answer(self, *, with_body: bool) -> None:
        """Send the headers, and the page if requested; error 404 for another address."""
        server = self.server
        if self.path.partition("?")[0] != "/" or not isinstance(server, PageServer):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(server.page)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(server.page)


def open_server(port: int) -> PageServer:
    """Open a server on a port, before any work is done for the page.

    port (int): The port; 0 for any free one.
    RETURNS (PageServer): The server, without a page.
    RAISES (ValueError): TB054 if the port is not available.
    """
    try:
        return PageServer((HOST, port), PageHandler)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
    except OverflowError:
        reason = "ports range from 0 to 65535"
    raise ValueError(errors.TB054.format(host=HOST, port=port, reason=reason))
