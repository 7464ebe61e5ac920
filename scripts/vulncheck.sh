#!/usr/bin/env bash
# Looks for known vulnerabilities in what the binary calls, in the database that
# GOVULNDB names, Go's own by default. A database that cannot be reached is said
# plainly and fails nothing, but with VULN=required. Before that, a made-up
# vulnerability must be found: a check that finds nothing whatever there is would
# say so for ever.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
out=$(mktemp)
trap 'rm -f "$out"' EXIT

status=0
"$go" tool govulncheck -db "file://$PWD/testdata/vulndb" ./streamkey >"$out" 2>&1 || status=$?
if [ "$status" -ne 3 ] || ! grep -q GO-0000-0001 "$out"; then
	cat "$out" >&2
	echo "vulncheck: what is there to be found is not found" >&2
	exit 1
fi

db=${GOVULNDB:-https://vuln.go.dev}
status=0
"$go" tool govulncheck -db "$db" ./cmd/miju >"$out" 2>&1 || status=$?
if [ "$status" -eq 1 ] && grep -q 'fetching vulnerabilities' "$out"; then
	cat "$out" >&2
	echo "vulncheck: NOT CHECKED, the database $db cannot be reached" >&2
	[ "${VULN:-}" != required ]
	exit
fi
cat "$out"
exit "$status"
