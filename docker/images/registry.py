"""A registry on loopback, and images read back from it as Lambda would get them."""

import contextlib
import gzip
import json
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import debian
import loopback
from binaries import ARCHITECTURES, HOST

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


@dataclass(frozen=True)
class Registry:
    """A registry that answers at `host`."""

    host: str

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


@contextlib.contextmanager
def serve() -> Iterator[Registry]:
    """Debian's docker-registry, on loopback, empty."""
    program = debian.unpacked("registry", ["docker-registry"], ARCHITECTURES[HOST]) / "usr" / "bin" / "docker-registry"

    def prepare(folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
        document = {"version": "0.1", "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}
        settings = folder / "config.yml"
        # JSON is YAML.
        settings.write_text(json.dumps(document), "utf-8")
        return [str(program), "serve", str(settings)], {}

    with loopback.server("registry", "/v2/", prepare) as host:
        yield Registry(host)
