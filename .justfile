# Short names for what people do here; `just` alone lists them.

default:
    @just --list

# What CI runs.
check:
    .ci/run

# The README's first command.
run *options:
    cargo run --release -- run specs/llama_int8.yaml {{options}}

test *options:
    cargo test {{options}}

# Rewrites the generated schema.
schema:
    cargo run --release --quiet -- schema > schemas/spec.v1.json.new
    mv schemas/spec.v1.json.new schemas/spec.v1.json

# Licences, advisories, sources (needs cargo-deny).
deny:
    cargo deny check
