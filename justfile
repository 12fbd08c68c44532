# Each recipe is a section of .ci/run or a suite that it leaves out; `just` alone lists them.

default:
    @just --list

# Everything that CI checks.
check:
    .ci/run

# The tests that need only the package index.
test *args:
    uv run pytest {{ args }}

# Format, and repair what ruff can.
fix:
    uv run ruff check --fix .
    uv run ruff format .

lint:
    .ci/run lint

types:
    .ci/run types

imports:
    .ci/run imports

dependencies:
    .ci/run dependencies

# Build every wheel and import each alone.
wheels:
    .ci/run wheels

# The suites that need Debian packages, root or a browser.
suites:
    .ci/run suites

# Tests that take minutes.
long:
    uv run pytest -m long

# The benchmarks beside other gateways; `just bench --full` takes an hour.
bench *args:
    uv run --group bench python -m benchmarks --peers all {{ args }}

# Tests against engines that are installed apart; docs/engines.md says how.
engines *args:
    uv run pytest -m engines {{ args }}

# HOME with a real engine and a built-in model.
demo:
    uv run orchestratord --demo
