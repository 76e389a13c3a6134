"""Write a page to a file, serve it to a browser on this machine, or print it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import errors
from .console import say
from .writing import check_output, replacing_file

HOST = "127.0.0.1"


class Theme(str, Enum):
    """Color schemes of a page."""

    auto = "auto"
    light = "light"
    dark = "dark"


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The HTML file to write.", show_default=False)
]
Serve = Annotated[
    int | None,
    typer.Option(
        "--serve",
        "-s",
        metavar="PORT",
        help="Serve the page to a browser on this machine; 0 for any free port.",
        show_default=False,
    ),
]
OutputAttentions = Annotated[
    bool,
    typer.Option(
        "--output-attentions",
        help="Set output_attentions = true for this run, whatever the pipeline's config sets.",
    ),
]
PageTheme = Annotated[Theme, typer.Option(help="Color scheme; auto follows the reader's system.")]


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


@contextmanager
def start_output(
    output: Path | None, serve: int | None, *, force: bool
) -> Iterator[PageServer | None]:
    """Check the output file and open the server, before the page is drawn.

    output (Path): The file, or None.
    serve (int): The port, or None.
    force (bool): Whether the file may be replaced.
    YIELDS (PageServer): The server; None without a port.
    RAISES (ValueError): TB041, TB054.
    """
    if output is not None:
        check_output(output, force=force)
    if serve is None:
        yield None
        return
    with open_server(serve) as server:
        yield server


def deliver(page: str, output: Path | None, server: PageServer | None) -> None:
    """Write a page, serve it until Ctrl+C, or print it.

    page (str): The page.
    output (Path): The file, or None.
    server (PageServer): The server, or None.
    """
    if output is not None:
        with replacing_file(output) as staged:
            staged.write_text(page, encoding="utf8")
        say(f"Wrote {output}", style="good")
    if server is not None:
        server.page = page.encode("utf8")
        try:
            say(f"Serving at {server.url} (Ctrl+C to stop)")
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped serving")
    elif output is None:
        typer.echo(page)
