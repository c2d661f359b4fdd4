#!/bin/sh
# An agent's loop: takes an item, does it, tells how it went, until nothing is ready any more.
# usage: COORD_AGENT=nova examples/agent-loop.sh PROGRAM…    (the program gets the title in $TITLE)
# `coord agent run -- PROGRAM…` is the same loop, and renews the lease while the program runs.
set -u
: "${COORD_AGENT:?say who you are}"

while true; do
  id=$(coord claim --quiet)
  code=$?
  case $code in
    0) ;;
    6) exit 0 ;;       # nothing is ready
    4) sleep 1 && continue ;; # the store was busy
    *) exit "$code" ;;
  esac
  TITLE=$(coord work show "$id" --json | jq -r .data.title)
  export TITLE
  if result=$("$@" </dev/null); then
    coord complete "$id" --result "$result"
  else
    coord complete "$id" --failed --result "exit code $?"
  fi
done
