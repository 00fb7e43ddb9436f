#!/usr/bin/env bash
# Makes the README's pictures again, of the demo; needs Chromium.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -- "-$server" || true; wait; fi; rm -rf "$work"' EXIT
port=3919
page() { # FILE SIZE URL
  chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=30000 \
    --window-size="$2" --screenshot="$1" "$3" >"$work/chromium.log" 2>&1
}

uv run edxorg demo --dir "$work/demo"
lake=$work/demo/landing-zone
page report.png 1060,900 "file://$(ls "$lake"/edxorg/reports/*.html | tail -1)"

sql="SELECT mode, count(*) AS learners FROM student_courseenrollment GROUP BY mode"
{
  echo '<meta charset="utf-8"><pre style="font:15px/1.35 monospace;padding:1rem">'
  echo "\$ edxorg query \"$sql\""
  uv run edxorg query --landing-zone "$lake" "$sql"
} >"$work/query.html"
page query.png 1000,230 "file://$work/query.html"

export DAGSTER_HOME=$work/demo/dagster_home EDXORG_ARCHIVE_URL=file://$work/demo/inputs
export EDXORG_LANDING_ZONE_URL=file://$lake EDXORG_GPG_KEY_FILE=$work/demo/private-key.asc
EDXORG_ARCHIVE_NAME=$(uv run python -c 'from edxorg.commands.demo import ARCHIVE_NAME; print(ARCHIVE_NAME)')
export EDXORG_ARCHIVE_NAME
set -m
uv run dg dev --port $port >"$work/dagster.log" 2>&1 &
server=$!
until curl -sf "http://127.0.0.1:$port/server_info" >"$work/server.json"; do sleep 1; done
page groups.png 1400,640 "http://127.0.0.1:$port/asset-groups/"
page lineage.png 1400,1000 "http://127.0.0.1:$port/locations/__repository__@$(basename "$(dirname "$PWD")")/asset-groups/edxorg_archive/lineage"
page table.png 1400,900 "http://127.0.0.1:$port/assets/edxorg/raw_data/db_table/student_courseenrollment"
