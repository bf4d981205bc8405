"""Packages serverless.yml and keeps the result as local/template.json, the golden template.

    python3 local/template.py           regenerate it
    python3 local/template.py --check   compare; print the difference and exit 1 where there is one

A change to the infrastructure so shows in review, and the demo deploys without Node. Needs
`npm ci` first; neither credentials nor docker nor the network.
"""

import argparse
import difflib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OSLS = ROOT / "node_modules" / ".bin" / "osls"
GOLDEN = Path(__file__).resolve().parent / "template.json"

# Given by digest, an image is neither built nor looked up.
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/penstock-dev@sha256:" + "0" * 64


def packaged() -> str:
    """The CloudFormation template that osls makes of serverless.yml, keys in order."""
    with tempfile.TemporaryDirectory(prefix="penstock-template-") as out:
        command = [OSLS, "package", "--stage", "dev", "--region", "us-east-1", "--package", out]
        for function in ("processor", "consumer"):
            command += ["--param", f"{function}Image={IMAGE}"]
        # Nothing of the caller's AWS configuration may find its way into the golden file.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SLS_"))}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"osls package failed:\n{done.stdout}{done.stderr}")
        template = Path(out, "cloudformation-template-update-stack.json").read_text("utf-8")
    return json.dumps(json.loads(template), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Packages serverless.yml into local/template.json.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    if not OSLS.exists():
        sys.exit("osls is not installed; run `npm ci` in the repository's root first")

    fresh = packaged()
    if not check:
        GOLDEN.write_text(fresh, "utf-8")
        return
    golden = GOLDEN.read_text("utf-8") if GOLDEN.exists() else ""
    if golden != fresh:
        sys.stdout.writelines(
            difflib.unified_diff(
                golden.splitlines(keepends=True),
                fresh.splitlines(keepends=True),
                "local/template.json",
                "serverless.yml, packaged",
            )
        )
        sys.exit("the golden template differs; if that is meant, run `python3 local/template.py`")


if __name__ == "__main__":
    main()
