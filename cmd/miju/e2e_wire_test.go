package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miju-live/miju/ingest/rtmp/client"
	"github.com/miju-live/miju/remux/flv"
)

// What some encoder somewhere does and no program here can be made to do is
// done to the tags of a clip on their way to the server.

// tag is a message as it is sent.
type tag struct {
	typ  byte
	ts   uint32 // milliseconds
	body []byte
	// at is when it is sent, from the beginning on.
	at time.Duration
}

func (g tag) header() bool {
	return g.typ != flv.TypeScript && len(g.body) > 1 && g.body[1] == 0
}

func clipTags(t *testing.T, name string) []tag {
	t.Helper()
	b, err := os.ReadFile(clipPath(name))
	if err != nil {
		t.Fatal(err)
	}
	r := flv.NewReader(bytes.NewReader(b))
	var all []tag
	for {
		typ, ts, body, err := r.ReadTag()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tag{typ: typ, ts: uint32(ts.Milliseconds()), body: body, at: ts})
	}
}

// publishTags sends a clip's tags in a loop, in real time, each as edit makes
// it: none, one or more. What it returns ends the stream.
func (s *testServer) publishTags(t *testing.T, name string, tags []tag, edit func(tag) []tag) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.Dial(ctx, s.rtmpURL(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(ctx, flv.Enhanced); err != nil {
		t.Fatal(err)
	}
	const period = 8 * time.Second
	sent := make(chan error, 1)
	go func() {
		begun := time.Now()
		for offset := time.Duration(0); ; offset += period {
			for _, g := range tags {
				if offset > 0 && (g.typ == flv.TypeScript || g.header()) {
					continue
				}
				g.at += offset
				g.ts += uint32(offset.Milliseconds())
				select {
				case <-ctx.Done():
					sent <- nil
					return
				case <-time.After(time.Until(begun.Add(g.at))):
				}
				for _, g := range edit(g) {
					if err := c.WriteMessage(ctx, g.typ, g.ts, g.body); err != nil && ctx.Err() == nil {
						sent <- err
						return
					}
				}
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-sent; err != nil {
			t.Error(err)
		}
		c.Close()
	})
	t.Cleanup(stop)
	return stop
}

// setComposition overwrites a picture's composition time.
func (g tag) setComposition(ms int32) tag {
	g.body = bytes.Clone(g.body)
	g.body[2], g.body[3], g.body[4] = byte(ms>>16), byte(ms>>8), byte(ms)
	return g
}

// inBand puts the parameter sets of an avcC before a random access point.
func (g tag) inBand(avcc []byte) tag {
	spsSize := int(binary.BigEndian.Uint16(avcc[6:]))
	sps := avcc[8 : 8+spsSize]
	pps := avcc[8+spsSize+3:]
	pps = pps[:binary.BigEndian.Uint16(avcc[8+spsSize+1:])]
	body := bytes.Clone(g.body[:5])
	for _, n := range [][]byte{sps, pps} {
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(n))), n...)
	}
	g.body = append(body, g.body[5:]...)
	return g
}

// aggregate is a message of type 22 (RTMP 1.0, 7.1.6).
func aggregate(tags []tag) tag {
	const base = 5_000 // the messages' own times count from the first one's
	var body []byte
	for _, g := range tags {
		ts := g.ts - tags[0].ts + base
		head := []byte{g.typ, byte(len(g.body) >> 16), byte(len(g.body) >> 8), byte(len(g.body)), byte(ts >> 16), byte(ts >> 8), byte(ts), byte(ts >> 24), 0, 0, 0}
		body = append(append(body, head...), g.body...)
		body = binary.BigEndian.AppendUint32(body, uint32(11+len(g.body)))
	}
	return tag{typ: 22, ts: tags[0].ts, body: body}
}

// oddEncoder is what one encoder does to each tag.
type oddEncoder struct {
	name string
	edit func() func(tag) []tag
}

func one(g tag) []tag { return []tag{g} }

func (g tag) audio() bool { return g.typ == flv.TypeAudio }

// picture reports whether the tag is a coded picture, accessPoint whether one
// can begin with it.
func (g tag) picture() bool     { return g.typ == flv.TypeVideo && !g.header() }
func (g tag) accessPoint() bool { return g.picture() && g.body[0]>>4 == 1 }

// oddTracks send tracks late, in parts or not at all.
func oddTracks(avcc []byte) []oddEncoder {
	return []oddEncoder{
		{"promised-sound-starts-5-s-late", func() func(tag) []tag {
			var header []tag
			return func(g tag) []tag {
				switch {
				case g.audio() && g.header():
					header = []tag{g}
					return nil
				case g.audio() && g.at < 5*time.Second:
					return nil
				case g.audio():
					defer func() { header = nil }()
					return append(header, g)
				}
				return one(g)
			}
		}},
		{"sound-stops-after-3-s", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.audio() && g.at > 3*time.Second {
					return nil
				}
				return one(g)
			}
		}},
		{"sound-before-its-config", func() func(tag) []tag {
			var header []tag
			return func(g tag) []tag {
				if g.audio() && g.header() {
					header = []tag{g}
					return nil
				}
				if header != nil && g.at > 300*time.Millisecond {
					defer func() { header = nil }()
					return append(header, g)
				}
				return one(g)
			}
		}},
		{"parameter-sets-in-band-only", func() func(tag) []tag {
			return func(g tag) []tag {
				switch {
				case g.typ == flv.TypeVideo && g.header():
					return nil
				case g.accessPoint():
					return one(g.inBand(avcc))
				}
				return one(g)
			}
		}},
	}
}

// oddTimes send times that no clock shows.
func oddTimes() []oddEncoder {
	return []oddEncoder{
		{"time-jumps-an-hour-ahead", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.at > 3*time.Second {
					g.ts += 3600_000
				}
				return one(g)
			}
		}},
		{"time-jumps-back-to-zero", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.at > 3*time.Second {
					g.ts -= 3000
				}
				return one(g)
			}
		}},
		{"32-bit-wrap-after-2-s", func() func(tag) []tag {
			return func(g tag) []tag {
				g.ts += 1<<32 - 2000
				return one(g)
			}
		}},
		{"two-pictures-at-one-time", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.picture() {
					g.ts -= g.ts % 67
				}
				return one(g)
			}
		}},
		{"negative-composition-times", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.picture() {
					g = g.setComposition(-40)
				}
				return one(g)
			}
		}},
	}
}

// oddMessages send messages in ways of their own.
func oddMessages() []oddEncoder {
	return []oddEncoder{
		{"sequence-headers-with-every-picture-group", func() func(tag) []tag {
			var headers []tag
			return func(g tag) []tag {
				if g.header() {
					headers = append(headers, g)
				}
				if g.accessPoint() {
					var all []tag
					for _, h := range headers {
						h.ts = g.ts
						all = append(all, h)
					}
					return append(all, g)
				}
				return one(g)
			}
		}},
		{"empty-sound-messages", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.audio() {
					return []tag{{typ: g.typ, ts: g.ts}, g}
				}
				return one(g)
			}
		}},
		{"metadata-marked-as-AMF3", func() func(tag) []tag {
			return func(g tag) []tag {
				if g.typ == flv.TypeScript {
					g.typ, g.body = 15, append([]byte{0}, g.body...)
				}
				return one(g)
			}
		}},
		{"aggregate-messages", func() func(tag) []tag {
			var gathered []tag
			return func(g tag) []tag {
				if gathered = append(gathered, g); len(gathered) < 8 {
					return nil
				}
				defer func() { gathered = nil }()
				return one(aggregate(gathered))
			}
		}},
	}
}

func TestOddEncoders(t *testing.T) {
	s := start(t)
	tags := clipTags(t, "h264-aac.flv")
	at := slices.IndexFunc(tags, func(g tag) bool { return g.typ == flv.TypeVideo && g.header() })
	for _, c := range slices.Concat(oddTracks(tags[at].body[5:]), oddTimes(), oddMessages()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s.publishTags(t, c.name, tags, c.edit())
			s.waitLive(t, c.name)
			s.plays(t, c.name, "video audio")
		})
	}
	t.Run("unpromised-sound-starts-4-s-late", func(t *testing.T) {
		t.Parallel()
		const name = "unpromised"
		var header []tag
		stop := s.publishTags(t, name, tags, func(g tag) []tag {
			switch {
			case g.typ == flv.TypeScript:
				return nil
			case g.audio() && g.header():
				header = []tag{g}
				return nil
			case g.audio() && g.at < 4*time.Second:
				return nil
			case g.audio():
				defer func() { header = nil }()
				return append(header, g)
			}
			return one(g)
		})
		s.waitLive(t, name)
		early := probeToEnd(t, "early viewer", s.url("/live/"+name+".flv"))
		live := s.stream(t, name)
		waitFor(t, "the viewer", func() bool { return live.Stats().Readers == 1 })
		waitFor(t, "the sound", func() bool { return len(live.Tracks().Tracks) == 2 })
		waitFor(t, "the sound in HLS", func() bool {
			_, playlist := get(t, s.url("/live/"+name+".m3u8"))
			return strings.Contains(playlist, "mp4a")
		})
		s.plays(t, name, "video audio")
		stop()
		early.check(t, "video", 150)
	})
}
