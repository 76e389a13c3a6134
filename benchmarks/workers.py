"""Worker processes, one per system, that handle requests.

Each system runs in a separate process, which may use another environment. A worker prints a line of
JSON when it is ready, and another one for each line that it reads from standard input.
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
    """Store a worker process, and send it requests."""

    def __init__(
        self, python: str | Path, script: str, *arguments: str, threads: int | None = None
    ) -> None:
        """Start the process and wait until it is ready.

        python (str, Path): The Python interpreter of the environment.
        script (str): Name of a script in this folder.
        *arguments (str): Arguments of the script.
        threads (int): Threads of its libraries; None for their defaults.
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
        """Return the next response, and skip lines that are not JSON."""
        for line in self.process.stdout or []:
            if line.startswith("{"):
                response: dict[str, Any] = json.loads(line)
                return response
        sys.exit("A worker stopped. Its messages are printed above.")

    def send(self, line: str) -> dict[str, Any]:
        """Send a line and return the response.

        line (str): The line.
        RETURNS (dict): The response.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.read()

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request as a line of JSON and return the response.

        do (str): Name of the request.
        **arguments: Its arguments.
        RETURNS (dict): The response.
        """
        return self.send(json.dumps({"do": do, **arguments}))

    def close(self) -> None:
        """Close standard input and wait for the process to end."""
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
    """Return environment variables that limit the threads of torch, BLAS and fast tokenizers."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return dict.fromkeys(names, str(threads))
