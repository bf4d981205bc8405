"""What a cold start pays for: the processor's size, and the time until it asks Lambda for its first event."""

import contextlib
import os
import selectors
import socket
import statistics
import subprocess
import time
from pathlib import Path

from report import Table, Target
from tools import Binaries, Failed

SIZE_LIMIT_MB = 15
INIT_LIMIT_MS = 25
STARTS = 20

# Longer than any start takes; then it is not going to.
PATIENCE_SECONDS = 10

REGISTER = b"POST /2020-01-01/extension/register"
REGISTERED = (
    b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: bench\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
NEXT = b"GET /2018-06-01/runtime/invocation/next"

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "processor",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/processor",
    "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
    "OUTPUT_BUCKET": "bench-output",
    "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:bench",
}


def cold_start(binaries: Binaries, say) -> tuple[Table, list]:
    say(f"start-up of the processor, profile {binaries.profile}")
    megabytes = binaries.processor.stat().st_size / 1e6
    # With no endpoint given it reads the root certificates, as in Lambda; with one, plain HTTP spares that.
    milliseconds = [_start(binaries.processor) * 1000 for _ in range(STARTS)]
    median = statistics.median(milliseconds)
    table = Table(
        f"Start: the processor, profile {binaries.profile}",
        ["what", "figure", "min – max"],
        [
            ["binary, MB", f"{megabytes:.1f}", ""],
            [
                f"spawn to first poll for an event, ms: median of {STARTS}",
                f"{median:.1f}",
                f"{min(milliseconds):.1f} – {max(milliseconds):.1f}",
            ],
        ],
    )
    init = Target.of("initialisation", f"≤ {INIT_LIMIT_MS} ms", f"{median:.1f} ms", median <= INIT_LIMIT_MS)
    size = Target.of("binary", f"≤ {SIZE_LIMIT_MB} MB", f"{megabytes:.1f} MB", megabytes <= SIZE_LIMIT_MB)
    if binaries.profile != "dist":
        why = f"{megabytes:.1f} MB as built here; --dist builds what the images hold"
        size = Target.unmeasured("binary", f"≤ {SIZE_LIMIT_MB} MB", why)
        init.what += f", profile {binaries.profile}"
    return table, [size, init]


def _start(program: Path) -> float:
    """Seconds from its spawn to its first request for an event, of a server here that never answers it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_SECONDS)
        api = f"127.0.0.1:{server.getsockname()[1]}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**inherited, **ENVIRONMENT, "AWS_LAMBDA_RUNTIME_API": api}
        began = time.monotonic()
        with subprocess.Popen(
            [program], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as child:
            try:
                return _first_poll(server) - began
            except TimeoutError:
                raise Failed(f"{program} asked for no event within {PATIENCE_SECONDS} s") from None
            finally:
                child.kill()


def _first_poll(server: socket.socket) -> float:
    """When the first request for an event came. An extension's registration, before it, is answered as by Lambda."""
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as connections:
        selector.register(server, selectors.EVENT_READ)
        while True:
            ready = selector.select(PATIENCE_SECONDS)
            now = time.monotonic()
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.fileobj is server:
                    connection, _ = server.accept()
                    selector.register(connections.enter_context(connection), selectors.EVENT_READ)
                    continue
                request = key.fileobj.recv(65536)
                if request.startswith(NEXT):
                    return now
                if request.startswith(REGISTER):
                    key.fileobj.sendall(REGISTERED)
                elif not request:
                    selector.unregister(key.fileobj)
