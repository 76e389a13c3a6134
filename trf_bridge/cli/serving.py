"""One page, served to the browser on this machine."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .. import errors

HOST = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves one page at `/`, to this machine alone."""

    daemon_threads = True
    page = b""

    @property
    def url(self) -> str:
        """RETURNS (str): Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave alone what a browser that went away causes; report the rest.

        request, client_address: What was asked, and by whom.
        """
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """Answers with the page of the server."""

    def do_GET(self) -> None:
        """Send the page."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send what stands before the page."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests are nobody's news."""

    def _answer(self, *, with_body: bool) -> None:
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
    """Take a port of this machine, before any work is done for the page.

    port (int): Its number; 0 for any that is free.
    RETURNS (PageServer): The server, without a page yet.
    RAISES (ValueError): TB054 where the port can't be had.
    """
    try:
        return PageServer((HOST, port), PageHandler)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
    except OverflowError:
        reason = "ports go from 0 to 65535"
    raise ValueError(errors.TB054.format(host=HOST, port=port, reason=reason))
