"""A registry on loopback, and images read back from it as Lambda would get them."""

import gzip
import json
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import debian
from binaries import ARCHITECTURES, HOST
from command import Failed

SINGLE = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Layer:
    """A layer as it lies in the registry, and what is in it."""

    diff_id: str
    compressed: int
    tar: bytes

    def entries(self) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        with tarfile.open(fileobj=BytesIO(self.tar)) as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.isfile() else None
                yield entry, file.read() if file else b""


@dataclass(frozen=True)
class Image:
    """An image as a registry serves it. An index has neither config nor layers."""

    media_type: str
    config: dict[str, Any]
    layers: list[Layer]


class Registry:
    """Debian's docker-registry, on loopback, for as long as the `with` lasts."""

    def __enter__(self) -> "Registry":
        files = debian.unpacked("registry", ["docker-registry"], ARCHITECTURES[HOST])
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-registry-")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        settings = Path(self._folder.name, "config.json")
        # YAML that is JSON.
        storage = {"filesystem": {"rootdirectory": f"{self._folder.name}/data"}}
        document = {"version": "0.1", "log": {"level": "error", "accesslog": {"disabled": True}}}
        settings.write_text(json.dumps({**document, "storage": storage, "http": {"addr": self.host}}), "utf-8")
        log = Path(self._folder.name, "log")
        with log.open("wb") as output:
            program = files / "usr" / "bin" / "docker-registry"
            self._server = subprocess.Popen([program, "serve", settings], stdout=output, stderr=output)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                said = log.read_text("utf-8")
                self.__exit__()
                raise Failed(f"the registry does not start: {said}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            self._fetch("")
        except OSError:
            return False
        return True

    def _fetch(self, path: str, accept: tuple[str, ...] = ()) -> tuple[str, bytes]:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": ", ".join(accept)})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.headers["Content-Type"], answer.read()

    def image(self, name: str, reference: str) -> Image:
        """The image that has this tag or digest."""
        media_type, manifest = self._fetch(f"{name}/manifests/{reference}", (*SINGLE, *INDEXES))
        if media_type not in SINGLE:
            return Image(media_type, {}, [])
        document = json.loads(manifest)
        config = json.loads(self._fetch(f"{name}/blobs/{document['config']['digest']}")[1])
        layers = []
        for described, diff_id in zip(document["layers"], config["rootfs"]["diff_ids"], strict=True):
            blob = self._fetch(f"{name}/blobs/{described['digest']}")[1]
            layers.append(Layer(diff_id, len(blob), gzip.decompress(blob)))
        return Image(media_type, config, layers)
