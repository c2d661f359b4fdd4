#!/bin/bash
# The kind of program that coord replaces: one JSON array, rewritten whole by jq under a lock file.
# rival.sh DIR claim AGENT | rival.sh DIR complete ID
set -euo pipefail
file=$1/work.json
until (set -C; echo $$ >"$file.lock") 2>/dev/null; do sleep 0.01; done
trap 'rm -f "$file.lock"' EXIT
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
case $2 in
  claim)
    id=$(jq -r '[.[] | select(.status == "pending")] | min_by(.rank) | .id' "$file")
    jq --arg id "$id" --arg agent "$3" --arg now "$now" \
      'map(if .id == $id then .status = "active" | .agent = $agent | .at = $now else . end)' "$file" >"$file.tmp"
    ;;
  complete)
    id=$3
    jq --arg id "$id" --arg now "$now" \
      'map(if .id == $id then .status = "pending" | .agent = null | .at = $now else . end)' "$file" >"$file.tmp"
    ;;
esac
mv "$file.tmp" "$file"
echo "$id"
