# Shortcuts; each is one cargo command that works without just as well.

# List the shortcuts
default:
    @just --list

# Start the studio on http://127.0.0.1:4400
serve *ARGS:
    cargo run --release -p studio-cli -- serve {{ ARGS }}

# Install what the tests need
setup:
    cargo xtask setup

# Set-up and every check; with arguments only those tests: just test -p studio-flows
test *ARGS:
    cargo xtask test {{ ARGS }}

# Run the benchmarks
bench *ARGS:
    cargo xtask bench {{ ARGS }}

# Format all code
fmt:
    cargo fmt --all
