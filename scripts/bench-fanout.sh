#!/usr/bin/env bash
# Shows what viewers cost here: starts a server with the demo clip, or CLIP, has
# VIEWERS watch it for DURATION seconds in each of four ways, and prints a table. Server
# and viewers share the machine, so the figures are for comparing with each
# other on one machine, and the machine should have nothing else to do.
set -euo pipefail
cd "$(dirname "$0")/.."
viewers=${VIEWERS:-200} duration=${DURATION:-10} clip=${CLIP:-}

dir=$(mktemp -d)
server=""
stop() {
	[ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }
	server=""
}
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

echo "building" >&2
CGO_ENABLED=0 "${GO:-go}" build -trimpath -o "$dir/miju" ./cmd/miju

# serve FLAGS... starts a server and sets $server and $at, its HTTP address.
serve() {
	local source=(--demo)
	[ -z "$clip" ] || source=(--file "live/demo=$clip")
	"$dir/miju" serve "${source[@]}" --http 127.0.0.1:0 --rtmp 127.0.0.1:0 --srt "" --admin "" --data-dir "" "$@" >"$dir/banner" 2>"$dir/log" &
	server=$!
	for _ in $(seq 100); do
		at=$(sed -n 's|.*HTTP-FLV *http://\([^/]*\)/.*|\1|p' "$dir/banner")
		if [ -n "$at" ] && "$dir/miju" bench flv "http://$at/live/demo.flv" -n 1 -d 1s >"$dir/first" 2>&1; then
			return
		fi
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/banner" "$dir/log" "$dir/first" >&2
	echo "the server does not serve" >&2
	exit 1
}

# figure NAME prints a number of the report, figure NAME MEMBER one of its quantiles.
figure() {
	local value
	if [ $# -eq 1 ]; then
		value=$(sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$dir/report")
	else
		value=$(sed -n "s/.*\"$1\":{[^}]*\"$2\":\([-0-9.e+]*\).*/\1/p" "$dir/report")
	fi
	echo "${value:--}"
}

table="$dir/table"
printf '%s\t' "" "viewers" "Mbit/s" "CPU s/GB" "% of a core" "join p50" "join p99" "spread p99" "stalls" >"$table"
printf '%s\n' "RSS kB" >>"$table"
printf '%s\t' "" "" "" "" "each" "ms" "ms" "ms" "" >>"$table"
printf '%s\n' "each" >>"$table"

# row NAME KIND URL FLAGS... measures with a server of these flags.
row() {
	local name=$1 kind=$2 scheme=$3 suffix=$4
	shift 4
	echo "$name: $viewers viewers for $duration s" >&2
	serve "$@"
	"$dir/miju" bench "$kind" "$scheme://$at/live/demo.$suffix" -n "$viewers" -d "${duration}s" --pid "$server" --json >"$dir/report"
	local playing
	playing=$(figure watching)
	[ "$playing" != - ] || playing=$(figure playing)
	printf '%s\t' "$name" "$playing" "$(figure mbit_per_s)" "$(figure cpu_s_per_gb)" "$(figure core_percent_each)" \
		"$(figure join_ms p50)" "$(figure join_ms p99)" "$(figure spread_ms p99)" "$(figure stalls)" >>"$table"
	printf '%s\n' "$(figure rss_each_kb)" >>"$table"
	sed -n "s/.*\"bottleneck\":\"\([^\"]*\)\".*/$name: \1/p" "$dir/report" >>"$dir/notes"
	stop
}

row "HTTP-FLV" flv http flv
row "HTTP-FLV, --flv-batch 100ms" flv http flv --flv-batch 100ms
row "WebSocket-FLV" flv ws flv
row "LL-HLS" hls http m3u8 --hls-always

awk -F '\t' '
	{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) }; columns = NF }
	END { for (r = 1; r <= NR; r++) { line = sprintf("%-" width[1] "s", cell[r, 1])
		for (i = 2; i <= columns; i++) line = line sprintf("  %" width[i] "s", cell[r, i])
		print line } }' "$table"
cat "$dir/notes"
