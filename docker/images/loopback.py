"""Servers on a free port of loopback, for as long as a `with` lasts."""

import contextlib
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from command import Failed

PATIENCE_SECONDS = 60


@contextlib.contextmanager
def server(name: str, health: str, prepare: Callable[[Path, int], tuple[list[str], dict[str, str]]]) -> Iterator[str]:
    """Runs the command and environment that `prepare` gives for a folder and a port; for its address, once it answers.

    The environment is all that it gets: nothing of the caller's AWS configuration may reach a function.
    """
    with tempfile.TemporaryDirectory(prefix=f"penstock-{name}-") as folder:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command, environment = prepare(Path(folder), port)
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _answers(f"http://127.0.0.1:{port}{health}"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{name} does not start: {log.read_text('utf-8')[-2000:]}")
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
