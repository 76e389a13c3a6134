"""A headless Chromium, controlled through its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--window-size=1200,900",
    "--remote-debugging-port=0",
]
TIMEOUT = 60.0


def find_chromium() -> str | None:
    """Return the path of Chromium, from the variable CHROMIUM or by its usual names."""
    given = os.environ.get("CHROMIUM")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A browser tab."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Send a command and return its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=TIMEOUT))
            if message.get("id") == self._last:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            if "method" in message:
                self.events.append(message)

    def open(self, path: Path) -> None:
        """Load a file and wait until every figure in it is ready."""
        self.events.clear()
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for(
            "document.readyState === 'complete' && "
            "[...document.querySelectorAll('figure')].every(f => f.dataset.ready === 'yes')"
        )

    def evaluate(self, expression: str) -> Any:
        """Evaluate an expression in the page and return its value."""
        reply = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in reply, reply["exceptionDetails"]
        return reply["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + TIMEOUT
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def texts(self, selector: str) -> list[str]:
        """Return the text of every element that matches a selector."""
        found: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
        )
        return found

    def hover(self, selector: str) -> None:
        """Move the mouse to the middle of an element."""
        x, y = self._middle(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        self.hover(selector)
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            options = {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)

    def prefer(self, scheme: str) -> None:
        """Emulate the preferred color scheme "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        """Save a screenshot of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requested(self) -> list[str]:
        """Return the addresses that the page requested."""
        self.evaluate("0")  # receives the events until now
        sent = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def complaints(self) -> list[Any]:
        """Return the exceptions of scripts and the errors in the log."""
        self.evaluate("0")
        thrown = [e for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        logged = [e for e in self.events if e["method"] == "Log.entryAdded"]
        return thrown + [e for e in logged if e["params"]["entry"]["level"] == "error"]

    def _middle(self, selector: str) -> tuple[float, float]:
        """Scroll to an element and return the position of its middle."""
        box = self.evaluate(
            f"(() => {{const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]})()"
        )
        return box[0], box[1]


@contextmanager
def chromium() -> Iterator[Page]:
    """Start a browser with an empty profile, and stop it at the end."""
    from websockets.sync.client import connect

    program = find_chromium()
    assert program is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(folder), process)
            with connect(_address(port), max_size=None, proxy=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that the browser chose and wrote into its folder."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        assert process.poll() is None, f"Chromium ended with {process.returncode}"
        try:
            lines = (folder / "DevToolsActivePort").read_text().split()
        except FileNotFoundError:
            lines = []
        if lines:
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError("Chromium opened no port")


def _address(port: int) -> str:
    """Return the address of the first tab's DevTools socket."""
    from urllib.request import ProxyHandler, build_opener

    opener = build_opener(ProxyHandler({}))
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=TIMEOUT) as response:
            pages = [target for target in json.load(response) if target["type"] == "page"]
        if pages:
            address: str = pages[0]["webSocketDebuggerUrl"]
            return address
        time.sleep(0.05)
    raise TimeoutError("Chromium opened no page")
