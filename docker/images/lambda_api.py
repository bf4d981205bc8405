"""Lambda's side of a function: its Runtime API on loopback, and an image's entry point started against it."""

import contextlib
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from command import Failed

INVOCATIONS = "/2018-06-01/runtime/invocation"
INVOCATION = {
    "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:checked",
    "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
}
PATIENCE_SECONDS = 30
TIMEOUT_MS = 60_000
# The defaults of serverless.yml.
MEMORY_MIB = {"processor": 1769, "consumer": 256}


class _Handler(BaseHTTPRequestHandler):
    server: "RuntimeApi"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == f"{INVOCATIONS}/next":
            self.server.polls.put(time.monotonic())
            if (event := self.server.events.get()) is not None:
                deadline = int(time.time() * 1000) + TIMEOUT_MS
                return self._answer(200, event, {**INVOCATION, "Lambda-Runtime-Deadline-Ms": str(deadline)})
        else:
            # An extension waits for events, of which none comes.
            self.server.over.wait()
        self.close_connection = True
        return None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == "/2020-01-01/extension/register":
            return self._answer(200, b"{}", {"Lambda-Extension-Identifier": "checked"})
        self.server.answers.put((self.path, body))
        return self._answer(202, b"{}", {})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: what the function says is what counts."""


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of one function: hands it events, takes its answers, and notes when it asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.polls: queue.Queue[float] = queue.Queue()
        self.events: queue.Queue[bytes | None] = queue.Queue()
        self.answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.over = threading.Event()

    def __enter__(self) -> "RuntimeApi":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.events.put(None)
        self.shutdown()
        self.server_close()


@dataclass
class Function:
    """A function that runs out of an image, and asked for its first event `started_ms` after its start."""

    name: str
    api: RuntimeApi
    started_ms: float
    log: Path

    def invoke(self, event: dict[str, Any]) -> Any:
        """What it answers to an event; an error of the function is one of ours."""
        self.api.events.put(json.dumps(event).encode())
        try:
            path, body = self.api.answers.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise Failed(f"the {self.name} does not answer: {self.log.read_text('utf-8')}") from None
        if not path.endswith("/response"):
            raise Failed(f"the {self.name} failed: {body.decode()}\n{self.log.read_text('utf-8')}")
        return json.loads(body)


@contextlib.contextmanager
def function(name: str, root: Path, config: dict[str, Any], environment: dict[str, str]) -> Iterator[Function]:
    """Starts what an image's config says, in its file system, as Lambda does: not as root, and with nothing else."""
    given = dict(pair.partition("=")[::2] for pair in config["Env"])
    with RuntimeApi() as api, tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        given |= {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}", "AWS_LAMBDA_FUNCTION_NAME": name}
        given |= {"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_REGION": "us-east-1"}
        given |= {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MIB[name])}
        given |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", **environment}
        # The group and user ids are those of Lambda's sandbox.
        sandbox = ["--fork", "--kill-child", "--pid", "--mount", "--mount-proc", "--setgid", "990", "--setuid", "993"]
        command = ["unshare", *sandbox, "--root", root, "--wd", config.get("WorkingDir") or "/", "--"]
        command += [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
        began = time.monotonic()
        with (
            log.open("wb") as output,
            subprocess.Popen(command, env=given, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
        ):
            try:
                yield Function(name, api, (_first_poll(name, api, process, log) - began) * 1000, log)
            finally:
                process.kill()


def _first_poll(name: str, api: RuntimeApi, process: subprocess.Popen[bytes], log: Path) -> float:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            return api.polls.get(timeout=0.1)
        except queue.Empty:
            if process.poll() is not None:
                break
    raise Failed(f"the {name} asks for no event: {log.read_text('utf-8')}")
