"""serverless.yml, packaged by osls: what would be deployed, without an AWS account."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OSLS = ROOT / "node_modules" / ".bin" / "osls"

# The account of the images: no other account's number may appear in a template.
ACCOUNT = "123456789012"

# osls keeps a compiled schema at home: without it a packaging takes three times as long.
HOME = ROOT / "target" / "osls-home"

# Where `penstock` is that checks the recipes: there are no sources of it beside the copy of serverless.yml.
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"

# Nobody listens there: a call to AWS fails the packaging instead of going out.
CLOSED = "http://127.0.0.1:9"


class PackagingFailed(Exception):
    """osls refused."""


def image(region):
    """An image in ECR by its digest, which is neither built nor looked up."""
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{ACCOUNT}.dkr.ecr.{region}.{suffix}/penstock@sha256:" + "0" * 64


def copy_sources(to):
    """What packaging reads, copied: osls writes beside it, and several can run at once."""
    shutil.copy(ROOT / "serverless.yml", to)
    for folder in ("deploy", "recipes"):
        shutil.copytree(ROOT / folder, Path(to, folder))


def package(stage="dev", region="us-east-1", params=(), edit=None):
    """The template of a stage in a region, and what serverless.yml says of its provider.

    `edit` changes the copy of the sources, whose folder it is given.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-template-") as sources:
        copy_sources(sources)
        if edit:
            edit(Path(sources))
        command = [OSLS, "package", "--stage", stage, "--region", region]
        for param in (f"processorImage={image(region)}", f"consumerImage={image(region)}", *params):
            command += ["--param", param]
        # Neither the caller's AWS configuration nor credentials: packaging must need none.
        environment = {
            "PATH": f"{BUILT}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(HOME),
            "AWS_ENDPOINT_URL": CLOSED,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        done = subprocess.run(command, cwd=sources, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise PackagingFailed((done.stderr + done.stdout).strip())
        packaged = Path(sources, ".serverless")
        template = json.loads((packaged / "cloudformation-template-update-stack.json").read_text("utf-8"))
        state = json.loads((packaged / "serverless-state.json").read_text("utf-8"))
    return template, state["service"]["provider"]


def written(template):
    """A template as it is kept: keys in order, so that a difference is one that matters."""
    return json.dumps(template, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
