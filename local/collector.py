#!/usr/bin/env python3
"""Sends the samples' traces through a real collector into an X-Ray: Rotel, which makes segment documents of OTLP, and
moto, which takes them by PutTraceSegments.

For each file of `penstock demo`: every span arrives as a segment, with its parent, in the one trace that the upload
began. Then `penstock trace --stage` finds the traces again, as if the stage were a deployed one: by what is in the output
bucket, and by X-Ray's search. Both programs come from PyPI, into target/collector; they listen on loopback only.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
VENV = TARGET / "collector"
PACKAGES = ["rotel==0.0.1a15", "moto[server,xray]==5.2.5"]
PATIENCE_SECONDS = 60

# What moto routes by; it checks no signature.
CALLER = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/xray/aws4_request, SignedHeaders=host, Signature=0"
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}

# Of every file that is processed, whoever does it.
STAGES = {"upload", "file", "detect", "verify", "catalogue"}


class Failed(Exception):
    """With what is to be told."""


class Door(BaseHTTPRequestHandler):
    """Stands before X-Ray. This Rotel says of its requests that they are gzip, which they are not, and moto believes it;
    what moto refuses of a request shows only in its answer; and moto's search takes no filter."""

    xray = ""
    taken = 0
    refused: list = []
    # The traces that have a file of this key.
    traces_of: dict = {}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/TraceSummaries":
            answer = self.search(json.loads(body)["FilterExpression"])
        else:
            answer = ask(f"{self.xray}{self.path}", body)
        for document in map(json.loads, json.loads(body).get("TraceSegmentDocuments", [])):
            Door.taken += 1
            if document["name"] == "file":
                self.traces_of.setdefault(document["aws"]["s3.key"], []).append(document["trace_id"])
        Door.refused += json.loads(answer).get("UnprocessedTraceSegments", [])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def search(self, expression: str) -> bytes:
        """As X-Ray searches by a file's annotation; Rotel makes none, but keeps the attribute."""
        key = re.match(r'annotation\[aws\.s3\.key\] = "([^"]*)" OR ', expression)[1]
        return json.dumps({"TraceSummaries": [{"Id": id} for id in self.traces_of.get(key, [])]}).encode()

    def log_message(self, *_):
        pass


def ask(url: str, body: bytes | None, method: str = "POST", service: str = "xray") -> bytes:
    headers = {"Authorization": CALLER.replace("xray", service), "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def install() -> None:
    stamp = VENV / "installed"
    wanted = "\n".join(PACKAGES)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, child: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Failed(f"{child.args[0]} ended with {child.returncode} instead of starting")
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
    raise Failed(f"{child.args[0]} does not listen on port {port}")


def start(command: list, port: int, log, environment: dict) -> subprocess.Popen:
    child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, env=environment)
    try:
        wait_for(port, child)
    except BaseException:
        child.kill()
        raise
    return child


def penstock(*arguments: str, **variables: str) -> dict:
    """The document that a command prints."""
    command = ["cargo", "run", "--release", "--quiet", "--", *arguments, "--json"]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    document = json.loads(done.stdout or "{}")
    if done.returncode != 0:
        stop(document.get("stack"))
        raise Failed(f"penstock {arguments[0]} ended with {done.returncode}")
    return document


def stop(stack: dict | None) -> None:
    if stack:
        os.killpg(stack["process_group"], signal.SIGTERM)


def segments(xray: str, trace_id: str) -> dict:
    """The segment documents of a trace, by id."""
    body = json.dumps({"TraceIds": [f"1-{trace_id[:8]}-{trace_id[8:]}"]}).encode()
    traces = json.loads(ask(f"{xray}/Traces", body))["Traces"]
    documents = [json.loads(segment["Document"]) for trace in traces for segment in trace["Segments"]]
    return {document["id"]: document for document in documents}


def fault(found: dict) -> str:
    """What a trace lacks, or nothing."""
    names = {document["name"] for document in found.values()}
    if missing := STAGES - names:
        return f"no segment {sorted(missing)} among {sorted(names)}"
    roots = [document["name"] for document in found.values() if not document.get("parent_id")]
    if roots != ["upload"]:
        return f"it begins with {roots}"
    orphans = [d["name"] for d in found.values() if d.get("parent_id") and d["parent_id"] not in found]
    return f"the parents of {orphans} are nowhere" if orphans else ""


def check(xray: str, files: list) -> None:
    for file in files:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while problem := fault(found := segments(xray, file["trace_id"])):
            if time.monotonic() > deadline:
                raise Failed(f"{file['key']}: {problem}")
            time.sleep(0.5)
        print(f"{file['key']}: {len(found)} segments in trace {file['trace_id']}")
    if Door.refused:
        raise Failed(f"X-Ray refused {Door.refused}")
    print(f"X-Ray took {Door.taken} segments and refused none")


def look(stack: dict, xray: str, files: list) -> None:
    """Each file's trace as `penstock trace --stage` finds it: the last one's without its receipt, by X-Ray's search."""
    endpoint = stack["endpoint"]
    place = f"{endpoint}/{stack['output_bucket']}/receipts/{urllib.parse.quote(files[-1]['key'])}.json"
    ask(place, None, "DELETE", "s3")
    for file in files:
        variables = {**AWS, "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_XRAY": xray}
        found = penstock("trace", file["key"], "--stage", "dev", "--region", "us-east-1", **variables)
        spans = {span["span_id"]: span for span in found["spans"]}
        if found["trace_id"] != file["trace_id"] or spans.keys() != segments(xray, file["trace_id"]).keys():
            raise Failed(f"penstock trace {file['key']} gives {found}")
        keys = {span["attributes"].get("aws.s3.key") for span in spans.values() if span["name"] == "file"}
        if keys != {file["key"]}:
            raise Failed(f"penstock trace {file['key']} gives the trace of {keys}")
    print(f"penstock trace --stage drew {len(files)} traces, one of them by X-Ray's search")


def main() -> None:
    install()
    moto_port, otlp_port, grpc_port = free_port(), free_port(), free_port()
    xray = f"http://127.0.0.1:{moto_port}"
    [agent] = VENV.glob("lib/python*/site-packages/rotel/rotel-agent")
    log_path = TARGET / "collector.log"
    children, stack = [], None
    with log_path.open("w") as log:
        try:
            moto = [VENV / "bin" / "moto_server", "-H", "127.0.0.1", "-p", moto_port]
            children.append(start(moto, moto_port, log, {**os.environ, **AWS}))
            Door.xray = xray
            door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
            threading.Thread(target=door.serve_forever, daemon=True).start()
            before = f"http://127.0.0.1:{door.server_port}"
            rotel = [agent, "start", "--exporter", "aws-xray", "--xray-exporter-custom-endpoint", before]
            rotel += ["--otlp-http-endpoint", f"127.0.0.1:{otlp_port}"]
            rotel += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}", "--debug-log", "traces"]
            children.append(start(rotel, otlp_port, log, {**os.environ, **AWS}))
            report = penstock("demo", "--keep", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{otlp_port}")
            stack = report["stack"]
            check(xray, report["files"])
            look(stack, before, report["files"])
        except Failed as error:
            sys.exit(f"error: {error}; see {log_path}")
        finally:
            stop(stack)
            for child in children:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    main()
