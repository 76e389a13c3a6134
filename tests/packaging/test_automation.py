"""The Makefile, the workflows, and the versions that they install."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf8")
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[0].split())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# The source distribution has tests, but no workflows.
needs_workflows = pytest.mark.skipif(not WORKFLOWS, reason="no folder .github/workflows")


def read_project() -> dict[str, Any]:
    """Read the metadata from pyproject.toml."""
    if sys.version_info < (3, 11):
        pytest.skip("tomllib needs Python 3.11")
    import tomllib

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    return project


def read_pins(name: str) -> dict[str, str]:
    """Read the versions in a file of constraints."""
    lines = (ROOT / name).read_text(encoding="utf8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in found}


def list_steps(path: Path) -> list[dict[str, Any]]:
    """List the steps of all jobs of a workflow."""
    jobs = yaml.safe_load(path.read_text(encoding="utf8"))["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


def list_pythons(path: Path) -> set[str]:
    """List the versions of Python in the matrices of a workflow."""
    found: set[str] = set()
    for job in yaml.safe_load(path.read_text(encoding="utf8"))["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        found |= {*matrix.get("python", []), *(x["python"] for x in matrix.get("include", []))}
    return found


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_help_lists_every_target() -> None:
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert all(len(line) == 3 and line[0] == "make" for line in lines)
    assert sorted(line[1] for line in lines) == sorted(TARGETS)
    assert "$(" not in done.stdout


def test_every_target_without_a_file_is_phony() -> None:
    rules = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))
    assert rules == TARGETS


@needs_workflows
@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_workflows_run_targets_that_exist(path: Path) -> None:
    commands = [step["run"] for step in list_steps(path) if "run" in step]
    text = path.read_text(encoding="utf8")
    matrix = re.findall(r"target: \[(.*)\]", text)
    for command in commands:
        words = command.split()
        if words[0] == "make" and "${{" not in command:
            assert set(words[1:]) <= TARGETS
    assert {target for line in matrix for target in line.split(", ")} <= TARGETS
    for script in re.findall(r"python ([\w/]+[.]py)", text):
        assert (ROOT / script).is_file()


@needs_workflows
def test_workflows_cover_the_versions_of_the_wheels() -> None:
    build = read_project()["tool"]["cibuildwheel"]["build"]
    wheels = {f"3.{re.fullmatch(r'cp3([0-9]+)-[*]', selector)[1]}" for selector in build}  # type: ignore[index]
    assert wheels == list_pythons(ROOT / ".github" / "workflows" / "checks.yml")
    oldest = min(wheels, key=Version)
    assert read_project()["project"]["requires-python"] == f">={oldest}"


@needs_workflows
def test_windows_runs_the_commands_of_make_test() -> None:
    commands = [step.get("run", "") for step in list_steps(WORKFLOWS[0])]
    (pip,) = re.findall(r'-m pip install ("\.\[.*\]")', MAKEFILE)
    assert f"python -m pip install {pip}" in commands
    (pytest_command,) = re.findall(r"\$\(BIN\)/(pytest .*)", MAKEFILE)
    assert pytest_command in commands


def test_floor_is_the_oldest_allowed_version() -> None:
    pins = read_pins("constraints-floor.txt")
    for text in read_project()["project"]["dependencies"]:
        requirement = Requirement(text)
        floors = [s.version for s in requirement.specifier if s.operator == ">="]
        assert len(floors) == 1, text
        pin = pins[canonicalize_name(requirement.name)]
        assert Version(pin).release[: len(Version(floors[0]).release)] == Version(floors[0]).release


@pytest.mark.parametrize("name", ["constraints-floor.txt", "constraints-transformers4.txt"])
def test_other_constraints_replace_lines_by_name(name: str) -> None:
    pins, tested = read_pins(name), read_pins("constraints.txt")
    lines = {line.partition("==")[0] for line in (ROOT / name).read_text("utf8").splitlines()}
    usual = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    }
    for line in lines:
        if not line.startswith("#") and canonicalize_name(line) in tested:
            assert line in usual  # the same spelling: make compares the names without normalization
    assert all(Version(pins[name]) <= Version(tested[name]) for name in pins if name in tested)
