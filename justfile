# Recipes of this repository, which `.ci/run`, the hooks of pre-commit and the workflow of GitHub call as well.
# Without `just` on the machine: `uv run --only-group just just`.

set positional-arguments

# List the recipes.
default:
    @{{ just_executable() }} --list

# Check the lock file, lint and format.
lint:
    uv lock --check
    uv run --group lint ruff check
    uv run --group lint ruff format --check

# Mend what lint and format can mend.
format:
    uv run --group lint ruff check --fix
    uv run --group lint ruff format

# Check the types.
types:
    uv run --group lint mypy

# Check which way imports run.
imports:
    uv run --group lint lint-imports

# Compare what is imported with what is declared, and look for known vulnerabilities.
supply-chain: audit
    uv lock --check
    uv run --quiet --all-groups deptry edxorg
    uv run --quiet --all-groups deptry packages/ol-orchestrate-lib/ol_orchestrate --config packages/ol-orchestrate-lib/pyproject.toml
    uv run --quiet --all-groups deptry . --extend-exclude packages/ol-orchestrate-lib/ol_orchestrate --ignore DEP002,DEP004

# Look for known vulnerabilities of all dependencies, if their list can be reached; takes the arguments of `uv audit`.
audit *arguments:
    #!/usr/bin/env bash
    set -euo pipefail
    status=0
    UV_HTTP_RETRIES=0 UV_HTTP_CONNECT_TIMEOUT=5 timeout 30 \
      uv audit --quiet --locked --preview-features audit-command "$@" || status=$?
    case $status in
      0 | 1) exit $status ;;
      *) echo "No list of vulnerabilities was reached, so none were looked for." ;;
    esac

# Run the tests; takes the arguments of pytest.
test *arguments:
    uv run --group test pytest -n 2 "$@"

# Change code of the pure core in small ways, and look if tests fail; takes modules, or `all`.
mutate *arguments:
    uv run --group test python -m edxorg_tests.mutation "$@"

# Fuzz each parser for ten seconds, where atheris has a wheel for this machine.
fuzz:
    #!/usr/bin/env bash
    set -euo pipefail
    if ! uv run --quiet --group fuzz python -c 'import atheris'; then
      echo "atheris has no wheel for this machine, so no parser was fuzzed."
      exit
    fi
    for parser in forum logs names olx tables zip; do
      printf '%s\n' "$parser"
      uv run --quiet --group fuzz python -m edxorg_tests.fuzz "$parser" --minutes 0.17
    done

# Build each package as a wheel, and use them without this repository: the library alone, and both for the demo.
wheels:
    #!/usr/bin/env bash
    set -euo pipefail
    dist=$(mktemp -d)
    trap 'rm -rf "$dist"' EXIT
    uv build --quiet --out-dir "$dist" .
    uv build --quiet --out-dir "$dist" packages/ol-orchestrate-lib
    uv venv --quiet "$dist/alone"
    uv pip install --quiet --python "$dist/alone" "$dist"/ol_orchestrate_lib-*.whl
    cd "$dist"
    alone/bin/python -P -c '
    import ol_orchestrate.assets.openedx_course_archives
    import ol_orchestrate.io_managers.filepath, ol_orchestrate.io_managers.gcs
    import ol_orchestrate.partitions.edxorg, ol_orchestrate.resources.openedx, ol_orchestrate.resources.outputs
    assert "site-packages" in ol_orchestrate.__file__, ol_orchestrate.__file__
    '
    uv venv --quiet "$dist/both"
    uv pip install --quiet --python "$dist/both" "$dist"/*.whl
    for package in edxorg ol_orchestrate_lib; do
      ls both/lib/python*/site-packages/"$package"-*.dist-info/licenses/LICENSE >/dev/null
    done
    HOME="$dist" env -u UV both/bin/edxorg demo >demo.log || { cat demo.log; exit 1; }
    grep -q '^What landed' demo.log

# Write the pages that are made: settings, columns of outputs, and licenses.
pages:
    uv run python -m edxorg.lib.settings
    uv run python -m edxorg.lib.dictionary
    uv run --group test python -m edxorg_tests.licenses

# Build the documentation as a site, in the folder `site`.
site:
    NO_MKDOCS_2_WARNING=1 uv run --group docs mkdocs build --strict
