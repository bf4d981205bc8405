"""Runs other programs, and says in words for people what went wrong."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Everything made here, but for cargo's own, lies under this folder.
WORK = ROOT / "target" / "images"


class Failed(Exception):
    """What can't be done, and what to do about it."""


def call(
    command: Sequence[object],
    what: str,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    show: bool = False,
) -> str:
    """Runs a command that must succeed, for what it prints; with `show`, people see its progress."""
    words = [str(word) for word in command]
    errors = None if show else subprocess.PIPE
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    except OSError as error:
        raise Failed(f"{what}: {error}") from error
    if done.returncode != 0:
        said = f":\n{done.stderr.strip()[-2000:]}" if done.stderr else ""
        raise Failed(f"{what}: {words[0]} ended with {done.returncode}{said}")
    return done.stdout.strip()
