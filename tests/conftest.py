"""Fixtures: tiny checkpoints, pipelines that use them, and a blocked network."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_families  # noqa: F401 - registers them
from chromium import find_chromium
from hypothesis import HealthCheck, settings
from locations import SHARED
from tiny import FAMILIES, save_checkpoint

WITH_HUB = os.environ.get("TRF_BRIDGE_TEST_HUB") == "1"
# Tiny matrix products gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not WITH_HUB:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported

# Failures are reproducible: the same examples in every run, on every machine.
settings.register_profile(
    "trf_bridge",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("trf_bridge")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose data, hub access, device or browser is not available."""
    for item in items:
        if item.get_closest_marker("shared") and not (SHARED / "data").is_dir():
            item.add_marker(pytest.mark.skip(reason="no folder shared/data beside the checkout"))
        if item.get_closest_marker("hub") and not WITH_HUB:
            item.add_marker(pytest.mark.skip(reason="set TRF_BRIDGE_TEST_HUB=1 to use the hub"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device, or no cupy"))
        if item.get_closest_marker("browser") and (reason := _no_browser()):
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_browser() -> str:
    """Return why browser tests cannot run, or an empty string if they can."""
    if find_chromium() is None:
        return "no Chromium: install it (Debian: apt-get install chromium), or set CHROMIUM"
    if importlib.util.find_spec("websockets") is None:
        return "no package websockets to talk to Chromium with: pip install websockets"
    return ""


def _has_gpu() -> bool:
    import torch
    from thinc.util import has_cupy_gpu

    return torch.cuda.is_available() and has_cupy_gpu


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Block every connection to another machine, and fail the test that attempted one.

    Tests marked as browser or loopback may connect to 127.0.0.1.
    """
    if request.node.get_closest_marker("hub"):
        yield
        return
    attempts: list[object] = []
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo
    marks = (request.node.get_closest_marker(name) for name in ("browser", "loopback"))
    allowed = {"127.0.0.1"} if any(marks) else set()

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or address[0] in allowed:
            connect(self, address)
            return
        attempts.append(address)
        raise OSError("a test attempted to use the network")

    def refuse_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in allowed:
            return getaddrinfo(host, *args, **kwargs)
        attempts.append(host)
        raise OSError("a test attempted to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_lookup)
    yield
    assert not attempts


@pytest.fixture
def fixed_seed() -> None:
    """Fix the seeds of all random numbers before a test."""
    from spacy.util import fix_random_seed

    fix_random_seed(0)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function: name of a family -> folder of its tiny checkpoint, shared by all tests."""
    folders: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in folders:
            folders[name] = save_checkpoint(name, tmp_path_factory.mktemp(name))
        return folders[name]

    return get


@pytest.fixture(scope="session")
def pipeline(checkpoint: Callable[[str], Path]) -> Callable[..., Any]:
    """Return a function: name of a family, settings -> pipeline, shared by all tests: read only."""
    pipelines: dict[Any, Any] = {}

    def get(name: str, **options: Any) -> Any:
        import trf_bridge

        key = (name, *sorted(options.items()))
        if key not in pipelines:
            pipelines[key] = trf_bridge.from_pretrained(checkpoint(name), **options)
        return pipelines[key]

    return get


@pytest.fixture(scope="module")
def source(pipeline: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a pipeline without heads and return its folder."""
    folder = tmp_path_factory.mktemp("source") / "pipeline"
    pipeline("bert").to_disk(folder)
    return folder


@pytest.fixture
def fresh(checkpoint: Callable[[str], Path]) -> Callable[..., Any]:
    """Return a function: name of a family, settings -> new pipeline, which the test may change."""

    def make(name: str, **options: Any) -> Any:
        import trf_bridge

        return trf_bridge.from_pretrained(checkpoint(name), **options)

    return make


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    """Return the name of each family in turn."""
    name: str = request.param
    return name
