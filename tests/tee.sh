#!/bin/sh
# Runs one test and keeps its TAP: tee.sh TEST (called by prove).
name=$(basename "$1")
{ "$1" 2>"$OUTPOST_TAP_LOGS/$name.err"; echo $? > "$OUTPOST_TAP_LOGS/$name.status"; } |
    tee "$OUTPOST_TAP_LOGS/$name.tap"
exit "$(cat "$OUTPOST_TAP_LOGS/$name.status")"
