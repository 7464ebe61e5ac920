#!/usr/bin/env bash
# Installs what the tests run against, by Debian package, where it is missing.
set -euo pipefail

missing=()
need() { # command package
	command -v "$1" >/dev/null || missing+=("$2")
}
need ffmpeg ffmpeg
need ffprobe ffmpeg
need chromium chromium
need nginx nginx-light
need varnishd varnish
need openssl openssl
need srt-live-transmit srt-tools
need gst-launch-1.0 gstreamer1.0-tools
# Debian keeps the server's programs out of the path.
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
if command -v dpkg >/dev/null; then
	for p in gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad; do
		dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p")
	done
fi
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
echo "installing ${missing[*]}"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
	sudo=$(command -v sudo) || { echo "the tests need ${missing[*]}: install them as root" >&2; exit 1; }
fi
command -v apt-get >/dev/null || { echo "the tests need ${missing[*]}, and there is no apt-get here: install them by hand" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# policy-rc.d aside, nginx and Varnish would start themselves; the tests start their own.
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
