package hlstest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"
)

// small is a stream of two renditions: segments of 2 s in two parts of 1 s, 25
// pictures or 50 samples of sound each. Its fields break a rule each.
type small struct {
	edit     func(rendition, text string) string
	fragment func(rendition string, number int64, part int, p *fmp4.Part)
	init     func(*fmp4.Init)
	parts    func([][]byte)
	last     string // replaces the multivariant playlist at the end
}

const smallMultivariant = `#EXTM3U
#EXT-X-VERSION:9

#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",LANGUAGE="de",NAME="Deutsch",AUTOSELECT=YES,DEFAULT=YES,CHANNELS="2",URI="a/audio.m3u8"

#EXT-X-STREAM-INF:BANDWIDTH=32000,AVERAGE-BANDWIDTH=30000,CODECS="avc1.42c028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=25.000,AUDIO="audio"
a/video.m3u8
`

func (s small) multivariant() string {
	if s.last != "" {
		return s.last
	}
	return smallMultivariant
}

// playlist is that of a rendition with all of its four segments whole.
func (s small) playlist(rendition string) string {
	var b strings.Builder
	b.WriteString(`#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,HOLD-BACK=12.0,PART-HOLD-BACK=3.000
#EXT-X-PART-INF:PART-TARGET=1.000
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA-SEQUENCE:1
#EXT-X-DISCONTINUITY-SEQUENCE:7
#EXT-X-MAP:URI="`)
	b.WriteString(rendition + "-init-1.mp4\"\n")
	for n := 1; n <= 4; n++ {
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", time.Unix(int64(1000+2*n), 0).UTC().Format("2006-01-02T15:04:05.000Z07:00"))
		for p := range 2 {
			independent := ""
			if rendition == "audio" || p == 0 {
				independent = ",INDEPENDENT=YES"
			}
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=1.00000,URI=\"%s-%d-%d.mp4\"%s\n", rendition, n, p, independent)
		}
		fmt.Fprintf(&b, "#EXTINF:2.00000,\n%s-%d.mp4\n", rendition, n)
	}
	fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"%s-5-0.mp4\"\n", rendition)
	fmt.Fprintf(&b, "#EXT-X-RENDITION-REPORT:URI=\"%s.m3u8\",LAST-MSN=4,LAST-PART=1\n", map[string]string{"audio": "video", "video": "audio"}[rendition])
	if s.edit != nil {
		return s.edit(rendition, b.String())
	}
	return b.String()
}

var smallSPS = []byte{
	0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0x78, 0x02, 0x27, 0xe5, 0x84, 0x00, 0x00, 0x03, 0x00, 0x04,
	0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc9, 0x20,
}

func marshal(t *testing.T, m interface{ Marshal(io.WriteSeeker) error }) []byte {
	t.Helper()
	var b seekablebuffer.Buffer
	if err := m.Marshal(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s small) initialization(t *testing.T, rendition string) []byte {
	t.Helper()
	i := fmp4.Init{Tracks: []*fmp4.InitTrack{{ID: 1, TimeScale: 1000, Codec: &codecs.H264{SPS: smallSPS, PPS: []byte{0x68, 0xce}}}}}
	if rendition == "audio" {
		i.Tracks[0].Codec = &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{Type: 2, SampleRate: 48000, ChannelConfig: 2, ChannelCount: 2}}
	}
	if s.init != nil {
		s.init(&i)
	}
	return marshal(t, i)
}

// files are those of a segment.
func (s small) files(t *testing.T, rendition string, number int64) Fetched {
	t.Helper()
	f := Fetched{Init: s.initialization(t, rendition)}
	samples, size := 25, 100
	if rendition == "audio" {
		samples, size = 50, 10
	}
	for part := range 2 {
		p := fmp4.Part{SequenceNumber: uint32(2*number + int64(part)), Tracks: []*fmp4.PartTrack{{ID: 1, BaseTime: uint64(2000*number + 1000*int64(part))}}}
		for i := range samples {
			p.Tracks[0].Samples = append(p.Tracks[0].Samples, &fmp4.Sample{
				Duration: uint32(1000 / samples), IsNonSyncSample: rendition == "video" && (part > 0 || i > 0), Payload: make([]byte, size),
			})
		}
		if s.fragment != nil {
			s.fragment(rendition, number, part, &p)
		}
		f.Parts = append(f.Parts, marshal(t, p))
	}
	f.Whole = bytes.Join(f.Parts, nil)
	if s.parts != nil {
		s.parts(f.Parts)
	}
	return f
}

func (s small) play(t *testing.T) string {
	t.Helper()
	var stream Stream
	if stream.Multivariant([]byte(smallMultivariant)) == nil {
		t.Fatal("no multivariant playlist")
	}
	for _, name := range []string{"video", "audio"} {
		uri := "a/" + name + ".m3u8"
		stream.Look(uri, []byte(s.playlist(name)), stream.Ends())
		for n := int64(1); n <= 4; n++ {
			stream.Rendition(uri).Fetched(n, s.files(t, name, n))
		}
	}
	return strings.Join(stream.Close([]byte(s.multivariant())), "\n")
}

func TestStreamAgrees(t *testing.T) {
	if got := (small{}).play(t); got != "" {
		t.Error(got)
	}
}

// in edits the playlist of one rendition.
func in(rendition, old, text string) small {
	return small{edit: func(r, s string) string {
		if r == rendition {
			return strings.Replace(s, old, text, 1)
		}
		return s
	}}
}

// at changes a fragment of segment 3.
func at(rendition string, part int, change func(*fmp4.Part)) small {
	return small{fragment: func(r string, n int64, i int, p *fmp4.Part) {
		if r == rendition && n == 3 && i == part {
			change(p)
		}
	}}
}

func last(old, text string) small {
	return small{last: strings.Replace(smallMultivariant, old, text, 1)}
}

// TestStreamFinds breaks each rule of several playlists, and of files, on purpose.
func TestStreamFinds(t *testing.T) {
	for _, c := range []struct {
		rule   string
		stream small
		want   string
	}{
		{"another server control", in("audio", "HOLD-BACK=12.0", "HOLD-BACK=13.0"), "a/audio.m3u8 says CAN-BLOCK"},
		{"another target", in("audio", "TARGETDURATION:4", "TARGETDURATION:3"), "targets 3 and 1"},
		{"no report", in("video", "#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=4,LAST-PART=1\n", ""), "does not report of [a/audio.m3u8]"},
		{"a report of itself", in("video", "URI=\"audio.m3u8\"", "URI=\"video.m3u8\""), "reports of a/video.m3u8"},
		{"a report that is behind", in("audio", "LAST-MSN=4,LAST-PART=1", "LAST-MSN=4,LAST-PART=0"), "which had {4 2} before"},
		{"a report of what never comes", in("video", "LAST-MSN=4,LAST-PART=1", "LAST-MSN=4,LAST-PART=7"), "was reported and is not there"},
		{"a discontinuity in one only", in("audio", "DISCONTINUITY-SEQUENCE:7", "DISCONTINUITY-SEQUENCE:8"), "has discontinuity sequence number 8 in a/audio.m3u8, 7"},
		{"sound beside the picture", small{fragment: func(r string, _ int64, _ int, p *fmp4.Part) {
			if r == "audio" {
				p.Tracks[0].BaseTime += 30
			}
		}}, "s beside that of a/video.m3u8"},
		{"segments that begin elsewhere", in("audio", "T00:16:42.000Z", "T00:16:43.000Z"), "begins 1 s after that of"},
		{"a hole between parts", at("video", 1, func(p *fmp4.Part) { p.Tracks[0].BaseTime++ }), "fragment 1 of segment 3 begins at 7001, the one before ends at 7000"},
		{"an overlap of segments", at("video", 0, func(p *fmp4.Part) { p.Tracks[0].BaseTime-- }), "begins at 5999, the one before ends at 6000"},
		{"no sample", at("video", 1, func(p *fmp4.Part) { p.Tracks[0].Samples = nil }), "no track or no sample"},
		{"sequence numbers", at("video", 1, func(p *fmp4.Part) { p.SequenceNumber-- }), "has sequence number 6 after 6"},
		{"a part's duration", at("video", 1, func(p *fmp4.Part) { p.Tracks[0].Samples[0].Duration++ }), "part video-3-1.mp4 lasts 1.001 s, the playlist says 1"},
		{"a segment's duration", at("video", 1, func(p *fmp4.Part) { p.Tracks[0].Samples[0].Duration += 2 }), "segment 3 lasts 2.002 s, the playlist says 2"},
		{"a sample without duration", at("audio", 1, func(p *fmp4.Part) { p.Tracks[0].Samples[0].Duration = 0 }), "has no duration"},
		{"a dependent segment", at("video", 0, func(p *fmp4.Part) { p.Tracks[0].Samples[0].IsNonSyncSample = true }), "does not begin at a random access point"},
		{"a part that is not independent", at("video", 0, func(p *fmp4.Part) { p.Tracks[0].Samples[0].IsNonSyncSample = true }), "part video-3-0.mp4 says independent true"},
		{"a part that is independent", at("video", 1, func(p *fmp4.Part) { p.Tracks[0].Samples[9].IsNonSyncSample = false }), "part video-3-1.mp4 says independent false"},
		{"parts that are not the segment", small{parts: func(p [][]byte) { p[1] = p[1][:9] }}, "is not what its parts are"},
		{"no initialization section", small{init: func(i *fmp4.Init) { i.Tracks[0].TimeScale = 0 }}, "initialization section: invalid timescale"},
		{"another codec", small{init: func(i *fmp4.Init) {
			if _, ok := i.Tracks[0].Codec.(*codecs.MPEG4Audio); ok {
				i.Tracks[0].Codec = &codecs.Opus{ChannelCount: 2}
			}
		}}, "its sound is Opus"},
		{"another profile", last("avc1.42c028", "avc1.64c028"), "its pictures are avc1.42c028"},
		{"another size", last("1920x1080", "1280x720"), "its pictures are avc1.42c028 of 1920x1080"},
		{"another frame rate", last("25.000", "24.000"), "there are 25"},
		{"bandwidth", last("BANDWIDTH=32000,AVERAGE-BANDWIDTH=30000", "BANDWIDTH=29500,AVERAGE-BANDWIDTH=29400"), "the peak was"},
		{"average above the peak", last("=30000", "=33000"), "bandwidth 32000 with an average of 33000"},
		{"average bandwidth", last("=30000", "=20000"), "says an average bandwidth of 20000"},
		{"no codecs", last(`CODECS="avc1.42c028,mp4a.40.2",`, ""), "no codecs"},
		{"no resolution", last("RESOLUTION=1920x1080,", ""), "pictures of 0x0"},
		{"no frame rate", last(",FRAME-RATE=25.000", ""), "at 0 a second"},
		{"no such group", last(`AUDIO="audio"`, `AUDIO="sound"`), `group of sounds "sound"`},
		{"no group", last(`,AUDIO="audio"`, ""), `group of sounds ""`},
		{"no default", last(",DEFAULT=YES", ""), "0 default sounds"},
		{"no channels", last(`,CHANNELS="2"`, ""), "sound {"},
		{"video range", last("FRAME-RATE", "VIDEO-RANGE=HDR,FRAME-RATE"), "video range HDR"},
		{"no average", last("AVERAGE-BANDWIDTH=30000,", ""), "multivariant playlist: line 6"},
		{"no URI", last("a/video.m3u8\n", ""), "no variant at the end"},
		{"a tag in the place of the URI", last("a/video.m3u8", "#EXT-X-VERSION:9"), "no URI behind a variant"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := c.stream.play(t); !strings.Contains(got, c.want) {
				t.Errorf("found %q, not %q", got, c.want)
			}
		})
	}
}
