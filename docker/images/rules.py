"""What an image must be for Lambda to run it, and for us to trust it: each rule says what is wrong, or nothing."""

import re
import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from binaries import GLIBC, Context
from command import ROOT
from registry import SINGLE, Image, Layer

# What a function adds to its base; a cold start has to fetch it.
LAYERS_LIMIT_MB = 20
BOOTSTRAP = "var/runtime/bootstrap"
LABELS = ("title", "description", "licenses", "version", "revision", "base.name")


@dataclass(frozen=True)
class Expected:
    """What an image was built from. Without `binary` it was compiled in the image, and its bytes are not known."""

    function: str
    context: Context
    base: Image
    base_name: str
    binary: bytes | None


def own_layers(image: Image, base: Image) -> list[Layer]:
    return image.layers[len(base.layers) :]


def megabytes(image: Image, base: Image) -> tuple[float, float]:
    """What the function adds to its base: compressed, uncompressed."""
    layers = own_layers(image, base)
    return sum(layer.compressed for layer in layers) / 1e6, sum(len(layer.tar) for layer in layers) / 1e6


def problems(image: Image, expected: Expected) -> list[str]:
    """Everything that is wrong with an image."""
    if image.media_type not in SINGLE:
        return [f"not a single manifest, which is all that Lambda takes, but {image.media_type}"]
    return [*_config(image, expected), *_labels(image, expected), *_layers(image, expected)]


def _config(image: Image, expected: Expected) -> list[str]:
    config, base = image.config["config"], expected.base.config["config"]
    created = datetime.fromtimestamp(expected.context.epoch, timezone.utc).replace(tzinfo=None)
    wanted = [
        ("architecture", image.config["architecture"], expected.context.arch.oci),
        ("system", image.config["os"], "linux"),
        ("entry point", config.get("Entrypoint"), ["/lambda-entrypoint.sh"]),
        ("command", config.get("Cmd"), [expected.function]),
        ("environment", config.get("Env"), base.get("Env")),
        ("working directory", config.get("WorkingDir"), "/var/task"),
        ("user", config.get("User", ""), ""),
        ("time of creation", image.config["created"][:19], created.isoformat()),
    ]
    return [f"{what} is {is_!r}, not {should!r}" for what, is_, should in wanted if is_ != should]


def _labels(image: Image, expected: Expected) -> list[str]:
    labels = image.config["config"].get("Labels") or {}
    found = {name: labels.get(f"org.opencontainers.image.{name}", "") for name in LABELS}
    exact = {
        "title": f"penstock-{expected.function}",
        "version": expected.context.version,
        "revision": expected.context.revision,
        "base.name": expected.base_name,
    }
    wrong = [f"label {name} is missing" for name, value in found.items() if not value]
    return wrong + [f"label {n} is {found[n]!r}, not {v!r}" for n, v in exact.items() if found[n] not in ("", v)]


def _layers(image: Image, expected: Expected) -> list[str]:
    base = [layer.diff_id for layer in expected.base.layers]
    if [layer.diff_id for layer in image.layers][: len(base)] != base:
        return ["it does not stand on its base"]
    wrong = []
    for size, how in zip(megabytes(image, expected.base), ("compressed", "uncompressed"), strict=True):
        if size > LAYERS_LIMIT_MB:
            wrong.append(f"the function's layers are {size:.1f} MB {how}, more than {LAYERS_LIMIT_MB}")
    entries = [entry for layer in own_layers(image, expected.base) for entry in layer.entries()]
    for info, _ in entries:
        if info.mode & stat.S_IWOTH and not info.issym():
            wrong.append(f"/{info.name} may be written by everybody")
        if (info.uid, info.gid) != (0, 0):
            wrong.append(f"/{info.name} belongs to {info.uid}:{info.gid}, not to root")
        if info.mtime != expected.context.epoch:
            wrong.append(f"/{info.name} bears another time than the commit's")
    files = {info.name: (stat.S_IMODE(info.mode), content) for info, content in entries if not info.isdir()}
    recipes = _recipes() if expected.function == "processor" else {}
    wrong += [f"/{name} has no business there" for name in sorted(files.keys() - recipes.keys() - {BOOTSTRAP})]
    for name, content in recipes.items():
        if name not in files:
            wrong.append(f"/{name} is missing")
        elif files[name] != (0o644, content):
            wrong.append(f"/{name} is not as in the repository, or has another mode than 0644")
    if BOOTSTRAP not in files:
        return [*wrong, f"/{BOOTSTRAP} is missing"]
    return wrong + _bootstrap(*files[BOOTSTRAP], expected)


def _recipes() -> dict[str, bytes]:
    """The repository's recipes, by where they lie in the image."""
    folder = ROOT / "recipes"
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {f"var/task/recipes/{path.relative_to(folder)}": path.read_bytes() for path in paths}


def _bootstrap(mode: int, content: bytes, expected: Expected) -> list[str]:
    wrong = [] if mode == 0o755 else [f"/{BOOTSTRAP} has mode {mode:04o}, not 0755"]
    if expected.binary is not None and content != expected.binary:
        wrong.append(f"/{BOOTSTRAP} is not the {expected.function} that was built")
    # A path of the machine that built it would make other bytes on another one.
    for path in (str(ROOT), str(Path.home())):
        if len(path) > 1 and path.encode() + b"/" in content:
            wrong.append(f"/{BOOTSTRAP} names {path}, a path of this machine")
    return wrong + elf_problems(content, expected.context.arch.elf)


def elf_problems(content: bytes, machine: str) -> list[str]:
    """What keeps a binary from starting on Lambda's machines."""
    try:
        elf = ELFFile(BytesIO(content))
    except ELFError:
        return [f"/{BOOTSTRAP} is no ELF binary"]
    wrong = [] if elf["e_machine"] == machine else [f"/{BOOTSTRAP} is for {elf['e_machine']}, not {machine}"]
    newest = glibc_needed(elf)
    if newest > GLIBC:
        wrong.append(f"/{BOOTSTRAP} needs glibc {newest[0]}.{newest[1]}, later than {GLIBC[0]}.{GLIBC[1]}")
    return wrong


def glibc_needed(elf: ELFFile) -> tuple[int, int]:
    """The latest glibc that a symbol of the binary asks for."""
    names = [
        auxiliary.name
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, auxiliaries in section.iter_versions()
        for auxiliary in auxiliaries
    ]
    found = [match.groups() for name in names if (match := re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", name))]
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))
