"""The golden templates: a change to the infrastructure shows in review as what it becomes.

`local/template.json` is stage dev, whole; it is also what `penstock up` deploys where there is no Node.
`local/template.prod.diff` is what differs in prod. A region differs in nothing but where its images lie, in AWS's
other partitions too, so no other is kept.
"""

import difflib
import re
from concurrent.futures import ThreadPoolExecutor

from package import ROOT, image, package, written

GOLDEN = ROOT / "local" / "template.json"
PROD = ROOT / "local" / "template.prod.diff"

# Where cfn-lint finds the templates.
PACKAGED = ROOT / "target" / "templates"

# Where the golden ones are packaged.
HOME = "us-east-1"

# The last two are other partitions of AWS.
CASES = [
    ("dev", HOME),
    ("prod", HOME),
    ("dev", "eu-central-1"),
    ("prod", "eu-central-1"),
    ("dev", "cn-north-1"),
    ("prod", "us-gov-west-1"),
]


def package_all():
    """Each stage and region: its template, and what serverless.yml says of its provider."""
    with ThreadPoolExecutor(2) as pool:
        packages = dict(zip(CASES, pool.map(lambda case: package(*case), CASES)))
    PACKAGED.mkdir(parents=True, exist_ok=True)
    for old in PACKAGED.glob("*.json"):
        old.unlink()
    for (stage, region), (template, _) in packages.items():
        (PACKAGED / f"{stage}-{region}.json").write_text(written(template), "utf-8")
    return packages


def goldens(packages):
    """The golden files' texts."""
    dev, prod = (written(packages[stage, HOME][0]) for stage in ("dev", "prod"))
    return {GOLDEN: dev, PROD: difference(dev, prod, "dev", "prod", context=1)}


def compare(packages):
    """What differs from the golden files, or between regions: a text for each."""
    for path, fresh in goldens(packages).items():
        golden = path.read_text("utf-8") if path.exists() else ""
        if golden != fresh:
            name = str(path.relative_to(ROOT))
            yield (
                difference(golden, fresh, name, "serverless.yml, packaged", context=3)
                + f"{name} differs; if that is meant, run `just template-update`"
            )
    for (stage, region), (template, _) in packages.items():
        moved = written(template).replace(image(region), image(HOME))
        reference = written(packages[stage, HOME][0])
        if moved != reference:
            yield (
                difference(reference, moved, f"{stage} in {HOME}", f"in {region}", context=3)
                + "a region may differ in nothing but its images"
            )


def difference(before, after, was, now, context):
    """A unified diff, without line numbers: they would change with every line above."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), was, now, n=context)
    return "".join(re.sub(r"^@@ .* @@$", "@@", line, flags=re.M) for line in lines)
