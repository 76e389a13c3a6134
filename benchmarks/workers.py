"""Worker processes, one per system, that do something when they are asked to.

Each system runs in a process and, if need be, an environment of its own. A worker prints a line of
JSON once it is ready, and another for each line that it reads from its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).resolve().parent


class Worker:
    """A process that answers."""

    def __init__(
        self, python: str | Path, script: str, *arguments: str, threads: int | None = None
    ) -> None:
        """Start it, and wait until it is ready.

        python (str, Path): The interpreter, of the environment that the worker is to run in.
        script (str): Name of a file beside this one.
        *arguments (str): Its arguments.
        threads (int): Threads that its libraries may use; None for what they choose.
        """
        command = [str(python), str(HERE / script), *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf8",
            env=os.environ | ({} if threads is None else thread_limits(threads)),
        )
        self.ready = self.read()

    def read(self) -> dict[str, Any]:
        """RETURNS (dict): The next answer; whatever else was printed is passed over."""
        for line in self.process.stdout or []:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        sys.exit("A worker stopped; what it printed stands above.")

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line.

        line (str): The line.
        RETURNS (dict): The answer.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.read()

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a line of JSON.

        do (str): What is to be done.
        **arguments: With what.
        RETURNS (dict): The answer.
        """
        return self.ask(json.dumps({"do": do, **arguments}))

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.process.kill()
        self.close()


def thread_limits(threads: int) -> dict[str, str]:
    """RETURNS (dict): Environment variables that limit torch, BLAS and the fast tokenizers."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return dict.fromkeys(names, str(threads))
