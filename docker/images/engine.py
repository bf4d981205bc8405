"""Builds and pushes with docker, podman or buildah, whichever is there."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from binaries import Context
from command import ROOT, Failed, call

DOCKERFILE = ROOT / "docker" / "Dockerfile"
NAMES = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class Engine:
    """A program that builds images, with the options that every call of it gets."""

    name: str
    command: tuple[str, ...]
    build_options: tuple[str, ...] = ()

    def build(
        self,
        context: Context,
        target: str,
        tag: str,
        arguments: Mapping[str, str],
        *,
        dockerfile: Path = DOCKERFILE,
        options: tuple[str, ...] = (),
    ) -> None:
        """Builds the stage `target` from a folder of prebuilt binaries, or from what `arguments` say otherwise."""
        given = {"BINARIES": "prebuilt", "VERSION": context.version, "REVISION": context.revision, **arguments}
        words = [*self.command, *self._build(context.epoch), "--platform", f"linux/{context.arch.oci}"]
        words += [*self.build_options, *options, "--target", target, "--tag", tag, "--file", str(dockerfile)]
        for name, value in given.items():
            words += ["--build-arg", f"{name}={value}"]
        # docker's way to say what --timestamp says to the others, newer versions of which refuse both at once.
        environment = {"SOURCE_DATE_EPOCH": str(context.epoch)} if self.name == "docker" else {}
        call([*words, context.folder], f"build {tag}", environment=environment)

    def _build(self, epoch: int) -> list[str]:
        if self.name == "docker":
            # Attestations would make an index of the image, which Lambda refuses.
            return ["buildx", "build", "--load", "--provenance=false", "--sbom=false"]
        # OCI, because into a config of Docker's format buildah 1.28 writes the working container's random id.
        fixed = ["--format", "oci", "--timestamp", str(epoch), "--identity-label=false"]
        return ["build" if self.name == "podman" else "bud", *fixed]

    def push(self, tag: str, destination: str, *, options: tuple[str, ...] = ()) -> str:
        """Pushes an image, for the digest that the registry knows it by."""
        if self.name == "docker":
            call([*self.command, "tag", tag, destination], f"tag {destination}")
            call([*self.command, "push", destination], f"push {destination}", show=True)
            inspected = call([*self.command, "image", "inspect", destination], f"inspect {destination}")
            names: list[str] = json.loads(inspected)[0]["RepoDigests"]
            repository = destination.rpartition(":")[0]
            digests = [name.partition("@")[2] for name in names if name.startswith(f"{repository}@")]
            if not digests:
                raise Failed(f"push {destination}: docker does not tell its digest")
            return digests[0]
        with tempfile.NamedTemporaryFile("r") as digest:
            words = [*self.command, "push", "--digestfile", digest.name, *options, tag, f"docker://{destination}"]
            call(words, f"push {destination}")
            return digest.read().strip()


def choose(name: str | None) -> Engine:
    """The engine of that name, or the first that works here."""
    reasons = []
    for candidate in [name] if name else NAMES:
        reason = _unusable(candidate)
        if not reason:
            return Engine(candidate, (candidate,))
        reasons.append(reason)
    raise Failed("no engine to build with: " + "; ".join(reasons))


def _unusable(name: str) -> str:
    """Why an engine can't be used, or nothing."""
    if not shutil.which(name):
        return f"{name} is not installed"
    try:
        if name == "docker":
            call(["docker", "info"], "docker's daemon does not answer")
            call(["docker", "buildx", "version"], "docker has no buildx")
    except Failed as error:
        return str(error).partition(": docker ended")[0]
    return ""
