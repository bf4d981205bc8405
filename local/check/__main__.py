"""What has to hold of the deployed system's template before it leaves this machine.

    python3 local/check            package stages and regions; compare with the golden templates; check the rules
    python3 local/check update     package, and keep the result as the golden templates
    python3 local/check mutations  put faults into serverless.yml, one at a time: each has to be caught

Needs `npm ci` first; neither credentials nor docker nor the network.
"""

import argparse
import shutil
import sys

import golden
from package import OSLS, PackagingFailed, package
from rules import RULES
from scenarios import CHOSEN, SCENARIOS, Broken, broken_rules


def not_chosen(template):
    """A choice that is made by `--param` and does not reach the template."""
    defaults = {name: parameter["Default"] for name, parameter in template["Parameters"].items()}
    for name, value in SCENARIOS["with everything"].items():
        if defaults.get(name) != value:
            yield Broken("check", name, f"is {defaults.get(name)!r} where {value!r} was asked for")


def with_recipes(sources):
    """Puts recipes where the image's lie: right ones keep nothing from being packaged."""
    shutil.copytree(sources / "recipes" / "examples", sources / "recipes", dirs_exist_ok=True)


def check():
    """Compares and checks; the number of faults."""
    packages = golden.package_all()
    differences = list(golden.compare(packages))
    print("\n".join(differences), end="\n" if differences else "")
    choices = [f"{name}={value}" for name, value in CHOSEN.items()]
    chosen = package(params=["architecture=x86_64", *choices], edit=with_recipes)
    packages["dev", "x86_64, every choice made"] = chosen
    broken = {fault: ["every choice made"] for fault in not_chosen(chosen[0])}
    for (stage, where), (template, provider) in packages.items():
        for fault in broken_rules(template, provider):
            broken.setdefault(fault, []).append(f"{stage} {where}")
    for fault, cases in broken.items():
        everywhere = len(cases) == len(packages)
        print(f"{fault}" + ("" if everywhere else f" ({', '.join(cases)})"))
    counted = f"{len(differences)} differences, {len(broken)} faults"
    print(f"{len(packages)} packaged templates, {len(RULES)} rules: {counted}")
    return len(differences) + len(broken)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["check", "update", "mutations"], default="check")
    what = parser.parse_args().what
    if not OSLS.exists():
        sys.exit("osls is not installed; run `npm ci` in the repository's root first")
    try:
        match what:
            case "check":
                sys.exit(1 if check() else 0)
            case "update":
                for path, fresh in golden.goldens(golden.package_all()).items():
                    path.write_text(fresh, "utf-8")
            case "mutations":
                import mutations

                sys.exit(1 if mutations.run() else 0)
    except PackagingFailed as failed:
        sys.exit(f"osls package failed:\n{failed}")


if __name__ == "__main__":
    main()
