#!/bin/sh
# Makes the clips of this folder and ingest/file/demo.flv with ffmpeg 5.1
# (libx264, libx265, the native AAC encoder, drawtext with DejaVu Sans).
# README.md says what each clip is for. The same ffmpeg and encoder builds
# give the same bytes: one thread, no dates, no encoder strings of the muxer.
set -eu
cd "$(dirname "$0")"
demo=../ingest/file/demo.flv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

ff() { ffmpeg -hide_banner -loglevel error -nostdin -y "$@"; }
exact='-fflags +bitexact -map_metadata -1'

# A moving picture with a counter; every 30th frame, so each whole second, is white.
picture="testsrc2=size=640x360:rate=30,format=yuv420p,drawbox=color=white:thickness=fill:enable='not(mod(n,30))'"
# A 1 kHz beep of 100 ms that starts at each whole second.
beep='0.4*sin(2*PI*1000*t)*lt(mod(t,1),0.1)'

# sound FORMULA RATE FRAMES BITRATE OUT encodes three rounds of FRAMES AAC
# frames (1024 samples each) and keeps the middle one with its time set to
# zero. So a clip has no silent priming frame, its last frame overlaps into its
# first one, and it is exactly FRAMES long: it loops without a gap or a click.
# The encoder's first packet is priming, hence the 1.
sound() {
	formula=$1 rate=$2 frames=$3 bitrate=$4 out=$5
	samples=$((frames * 1024))
	ff -f lavfi -i "aevalsrc='$formula':sample_rate=$rate:channel_layout=stereo" \
		-af "atrim=end_sample=$samples,aloop=loop=2:size=$samples" \
		-c:a aac -b:a "$bitrate" -flags:a +bitexact $exact "$tmp/long.aac"
	ff -i "$tmp/long.aac" -c copy \
		-bsf:a "noise=drop='lt(n,$((frames + 1)))+gte(n,$((2 * frames + 1)))',aac_adtstoasc,setts=ts=N*1024:duration=1024:time_base=1/$rate" \
		$exact "$out"
}

# x264 FILTERGRAPH SECONDS BITRATE BUFFER OPTIONS OUT: a GOP is 60 frames, 2 s.
x264() {
	ff -f lavfi -i "$1" -t "$2" -c:v libx264 -preset slow -b:v "$3" -maxrate "$3" -bufsize "$4" -threads 1 \
		-x264-params "keyint=60:min-keyint=60:scenecut=0:open-gop=0:$5" -flags:v +bitexact $exact "$6"
}

# 8 s are 4 GOPs of 2 s and exactly 375 AAC frames at 48 kHz, 16 s are 8 GOPs
# and 750; at 44.1 kHz 1323 frames are exactly 30.72 s.
sound "$beep|$beep" 48000 375 64k "$tmp/sound.m4a"
sound "$beep|$beep" 44100 1323 64k audio-only.m4a

x264 "$picture" 8 480k 480k bframes=0 "$tmp/plain.mp4"
ff -i "$tmp/plain.mp4" -i "$tmp/sound.m4a" -c copy $exact h264-aac.flv

x264 "$picture" 8 480k 480k bframes=3:b-adapt=0:b-pyramid=normal "$tmp/bframes.mp4"
ff -i "$tmp/bframes.mp4" -i "$tmp/sound.m4a" -c copy $exact h264-bframes-aac.flv

x264 "$picture" 8 300k 300k bframes=0 "$tmp/silent.mp4"
ff -i "$tmp/silent.mp4" -c copy $exact video-only.flv

ff -f lavfi -i "$picture" -t 8 -c:v libx265 -preset medium -b:v 360k -tag:v hvc1 \
	-x265-params "info=0:keyint=60:min-keyint=60:scenecut=0:open-gop=0:bframes=2:b-adapt=0:vbv-maxrate=360:vbv-bufsize=360:pools=none:frame-threads=1:log-level=error" \
	-flags:v +bitexact $exact "$tmp/h265.mp4"
ff -i "$tmp/h265.mp4" -i "$tmp/sound.m4a" -c copy -tag:v hvc1 $exact h265-aac.mp4

# The other codecs, 3 s each, in fragmented MP4: small, for what puts codecs into
# containers. A random access point every second.
small="testsrc2=size=320x180:rate=30,format=yuv420p"
fragments='-movflags +frag_keyframe+empty_moov+delay_moov+default_base_moof'
ff -f lavfi -i "$small" -t 3 -c:v libaom-av1 -cpu-used 8 -b:v 80k -g 30 -keyint_min 30 -threads 1 $fragments $exact -flags:v +bitexact av1.mp4
ff -f lavfi -i "$small" -t 3 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 80k -g 30 -keyint_min 30 -threads 1 $fragments $exact -flags:v +bitexact vp9.mp4
# other CODEC RATE LAYOUT OPTIONS encodes the beep.
other() {
	codec=$1 rate=$2 layout=$3 out=$4
	shift 4
	ff -f lavfi -i "aevalsrc='$beep|$beep':sample_rate=$rate:channel_layout=stereo" -t 3 -ac "$layout" -c:a "$codec" "$@" \
		-movflags +empty_moov+delay_moov+default_base_moof -frag_duration 1000000 -strict -2 -flags:a +bitexact $exact "$out"
}
other libopus 48000 2 opus.mp4 -b:a 32k
other flac 44100 1 flac.mp4
other ac3 48000 2 ac3.mp4 -b:a 64k
other eac3 48000 2 eac3.mp4 -b:a 64k
other libmp3lame 44100 2 mp3.mp4 -b:a 48k

# The demo: slow colours and a soft chord, both with a period of 16 s, a clock,
# and once a second a dot that lights up with a quiet tick.
font=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
p='2*PI*T/16'
colours="nullsrc=size=80x45:rate=30,format=gbrp,geq=r='70+50*sin($p+X/28)':g='60+35*sin(2*$p+Y/20+2)':b='110+60*sin($p+(X+Y)/36+4)'"
scene="$colours,scale=854:480:flags=bicubic,format=yuv420p"
scene="$scene,drawtext=fontfile=$font:text='Miju':fontsize=96:fontcolor=white@0.95:x=(w-tw)/2:y=130"
scene="$scene,drawtext=fontfile=$font:text='%{pts\\:hms}':fontsize=44:fontcolor=white@0.9:x=(w-294)/2:y=260"
scene="$scene,drawbox=x=407:y=350:w=40:h=40:color=white@0.2:thickness=fill"
scene="$scene,drawbox=x=407:y=350:w=40:h=40:color=white@0.9:thickness=fill:enable='lt(mod(n,30),4)'"
scene="$scene,drawbox=x=0:y=472:w=854:h=8:color=black@0.3:thickness=fill"
tick='0.12*sin(2*PI*1320*t)*exp(-40*mod(t,1))'
left="0.08*sin(2*PI*220*t)+0.06*sin(2*PI*330*t)*(0.6+0.4*sin(2*PI*t/8))+$tick"
right="0.08*sin(2*PI*220*t)+0.06*sin(2*PI*277.1875*t)*(0.6+0.4*cos(2*PI*t/8))+$tick"
sound "$left|$right" 48000 750 80k "$tmp/chord.m4a"
x264 "$scene" 16 420k 840k bframes=2:b-adapt=0 "$tmp/demo.mp4"
ff -i "$tmp/demo.mp4" -i "$tmp/chord.m4a" -c copy $exact "$demo"

ls -l ./*.flv ./*.mp4 ./*.m4a "$demo"
