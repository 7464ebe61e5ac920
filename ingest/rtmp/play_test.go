package rtmp

import (
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp/message"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/remux/amf0"
)

var beginning = []string{
	"control 00 00 00 00 00 01",
	"onStatus NetStream.Play.Reset",
	"onStatus NetStream.Play.Start",
	"|RtmpSampleAccess",
	"onMetaData",
}

func TestPlayBeginsWithHeadersAndARandomAccessPoint(t *testing.T) {
	for _, c := range []struct {
		name   string
		source *mediatest.Source
		query  string
		want   []string
	}{
		{"H.264 and AAC", &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2), GOP: 10}, "", []string{"9:17 00", "8:af 00", "9:17 01", "8:af 01", "9:27 01"}},
		{"video only", &mediatest.Source{Video: mediatest.H264Track(1), GOP: 10}, "", []string{"9:17 00", "9:17 01", "9:27 01"}},
		{"audio only", &mediatest.Source{Audio: mediatest.AACTrack(2)}, "", []string{"8:af 00", "8:af 01", "8:af 01"}},
		{"H.265", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 10}, "", []string{"9:90 68", "9:93 68", "9:a3 68"}},
		{"H.265, enhanced by choice", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 10}, "?hevc=enhanced", []string{"9:90 68", "9:93 68", "9:a3 68"}},
		{"H.265 for old players", &mediatest.Source{Video: mediatest.H265Track(1), GOP: 10}, "?a=b&hevc=legacy", []string{"9:1c 00", "9:1c 01", "9:2c 01"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			pub := h.publish(t, "live/x")
			for range 55 {
				pub.Write(c.source.Next())
			}
			p := h.player(t, "x"+c.query)
			p.expectLines(append(slices.Clone(beginning), c.want...)...)
		})
	}
}

// The end of a stream is told in every way that players know.
func TestPlayEndsWithTheStream(t *testing.T) {
	h := newHouse(t)
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Audio: mediatest.AACTrack(2)}
	pub.Write(source.Next())
	p := h.player(t, "x")
	p.expectLines(append(slices.Clone(beginning), "8:af 00", "8:af 01")...)
	pub.Close()
	p.expectLines(
		"onStatus NetStream.Play.UnpublishNotify",
		"control 00 01 00 00 00 01",
		"onPlayStatus NetStream.Play.Complete",
		"onStatus NetStream.Play.Stop",
	)
	p.tcp.Close()
	h.outcome(t, ingest.Outcome{Action: auth.Play, Protocol: "rtmp", Reason: ingest.ReasonEnded, Admitted: true})
}

// What players say meanwhile is answered as by servers of live streams, and
// ends nothing.
func TestPlayersSayThings(t *testing.T) {
	h := newHouse(t)
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Audio: mediatest.AACTrack(2)}
	pub.Write(source.Next())
	p := h.player(t, "x")
	p.expectLines(append(slices.Clone(beginning), "8:af 00", "8:af 01")...)
	say := func(name string, transaction amf0.Number, args ...amf0.Value) {
		t.Helper()
		p.send(message.Command{Name: name, Transaction: transaction, Args: append([]amf0.Value{amf0.Null{}}, args...), Stream: streamID})
	}
	say("pause", 5, amf0.Boolean(true), amf0.Number(1000))
	p.expectLines("onStatus NetStream.Pause.Notify")
	say("pause", 6, amf0.Boolean(false), amf0.Number(1000))
	p.expectLines("onStatus NetStream.Unpause.Notify")
	say("seek", 7, amf0.Number(5000))
	p.expectLines("onStatus NetStream.Seek.Notify")
	say("receiveAudio", 0, amf0.Boolean(false))
	say("receiveVideo", 0, amf0.Boolean(true))
	say("getStreamLength", 8, amf0.String("x"))
	p.message(message.TypeUserControl, 0, 0, []byte{0, 3, 0, 0, 0, 1, 0, 0, 3, 0xe8}) // buffer length
	p.message(message.TypeUserControl, 0, 0, []byte{0, 6, 0, 0, 0, 42})
	p.expectLines("control 00 07 00 00 00 2a")
	pub.Write(source.Next())
	p.expectLines("8:af 01")
	say("deleteStream", 0, amf0.Number(streamID))
	h.outcome(t, ingest.Outcome{Action: auth.Play, Protocol: "rtmp", Reason: ingest.ReasonEnded, Admitted: true})
}

// How a player ends is no failure, unless it breaks a rule.
func TestPlayersEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(*client)
		reason ingest.Reason
	}{
		{"closeStream", func(c *client) { c.command("closeStream", 0, amf0.Null{}) }, ingest.ReasonEnded},
		{"FIN", func(c *client) { c.tcp.Close() }, ingest.ReasonEnded},
		{"reset", func(c *client) { c.tcp.(*net.TCPConn).SetLinger(0); c.tcp.Close() }, ingest.ReasonEnded},
		{"half a message and FIN", func(c *client) { c.write([]byte{3, 0, 0, 0, 0, 0, 9, 20}); c.tcp.Close() }, ingest.ReasonEnded},
		{"nonsense", func(c *client) { c.write([]byte{0xff, 0xff, 0xff}) }, ingest.ReasonBadRequest},
		{"a picture of 8 MiB", func(c *client) { c.write([]byte{4, 0, 0, 0, 0x80, 0, 0, 9, 1, 0, 0, 0}) }, ingest.ReasonTooLarge},
		{"a wish to publish", func(c *client) { c.command("publish", 9, amf0.Null{}, amf0.String("y")) }, ingest.ReasonBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			pub := h.publish(t, "live/x")
			live(t, pub, &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)})
			p := h.player(t, "x")
			p.expectLines(beginning...)
			c.end(p)
			h.outcome(t, ingest.Outcome{Action: auth.Play, Protocol: "rtmp", Reason: c.reason, Admitted: true})
			if n := h.ingest.Stats().Players; n != 0 {
				t.Errorf("%d players are left", n)
			}
		})
	}
}

func TestPlayersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, ask, code, text string
	}{
		{"no such stream", "nobody", "NetStream.Play.StreamNotFound", "not live"},
		{"a name that is none", "a.b", "NetStream.Play.Failed", "letters"},
		{"an H.265 form that is none", "x?hevc=new", "NetStream.Play.Failed", "enhanced or legacy"},
		{"a codec that is not carried", "uncarried", "NetStream.Play.Failed", "cannot carry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			source := mediatest.Source{Audio: mediatest.AACTrack(2)}
			h.publish(t, "live/x").Write(source.Next())
			strange := source.Next()
			strange.Track = &media.Track{ID: 9}
			strange.Set = &media.TrackSet{Tracks: []*media.Track{strange.Track}}
			h.publish(t, "live/uncarried").Write(strange)
			p := h.player(t, c.ask)
			if code, description := p.expectCode("onStatus"); code != c.code || !strings.Contains(description, c.text) {
				t.Errorf("%s: %s", code, description)
			}
			if _, err := p.in.ReadMessage(); err != io.EOF {
				t.Errorf("the refusal does not end in FIN: %v", err)
			}
		})
	}
}

// A player that came before its stream plays it within --play-wait.
func TestPlayersWait(t *testing.T) {
	lifecycle := ingest.DefaultConfig()
	lifecycle.PlayWait = patience
	h := openHouse(t, nil, lifecycle)
	p := h.player(t, "x")
	waitFor(t, "the player", func() bool { return h.ingest.Stats().Players == 1 })
	source := mediatest.Source{Audio: mediatest.AACTrack(2)}
	pub := h.publish(t, "live/x")
	pub.Write(source.Next())
	p.expectLines(append(slices.Clone(beginning), "8:af 00", "8:af 01")...)
}

// An encoder that is cut off and comes back with other parameters goes on with
// the same stream: the player gets the new sequence header and rising times.
func TestPlayGoesOnWithTheNextEncoder(t *testing.T) {
	h := newHouse(t)
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}
	var last time.Duration
	for range 20 {
		f := source.Next()
		last = max(last, f.DTS)
		pub.Write(f)
	}
	p := h.player(t, "x")
	p.expectLines(beginning...)
	pub.Suspend(patience)
	pub = h.publish(t, "live/x")
	next := &mediatest.Source{Video: mediatest.H265Track(1), Audio: mediatest.AACTrack(2)}
	for range 20 {
		f := next.Next()
		f.DTS += last + time.Second
		f.PTS += last + time.Second
		pub.Write(f)
	}
	pub.Close()
	headers := map[string]int{}
	newest := uint32(0)
	for {
		m := p.next()
		if m.Type == message.TypeCommand {
			break
		}
		if s := line(t, m); strings.HasSuffix(s, " 00") || s == "9:90 68" {
			headers[s]++
		}
		if m.Timestamp+uint32(200) < newest {
			t.Errorf("timestamp %d after %d", m.Timestamp, newest)
		}
		newest = max(newest, m.Timestamp)
	}
	if want := (map[string]int{"9:17 00": 1, "8:af 00": 1, "9:90 68": 1}); !maps.Equal(headers, want) {
		t.Errorf("sequence headers %v, want %v", headers, want)
	}
	if newest < uint32((last+time.Second)/time.Millisecond) {
		t.Errorf("the newest timestamp is %d", newest)
	}
}

// A player that takes nothing is ended by the write deadline. Until then it
// holds back nobody.
func TestSlowPlayerIsEnded(t *testing.T) {
	overBoth(t, slowPlayerIsEnded, func(c *Config) { c.WriteTimeout = 300 * time.Millisecond })
}

func slowPlayerIsEnded(t *testing.T, h *house) {
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30, FrameBytes: 500_000}
	pub.Write(source.Next())
	slow := h.player(t, "x")
	slow.expectLines(beginning...)
	quick := h.player(t, "x")
	quick.expectLines(beginning...)
	deadline := time.Now().Add(patience)
	for h.ingest.Stats().Ended[ingest.Outcome{Action: auth.Play, Protocol: h.scheme, Reason: ingest.ReasonTimeout, Admitted: true}] == 0 {
		if time.Now().After(deadline) {
			t.Fatal("it is not ended")
		}
		pub.Write(source.Next())
		quick.next()
	}
	if n := h.ingest.Stats().Players; n != 1 {
		t.Errorf("%d players are left", n)
	}
}

// The server's end reaches players that take nothing, soon.
func TestShutdownEndsPlayers(t *testing.T) { overBoth(t, shutdownEndsPlayers) }

func shutdownEndsPlayers(t *testing.T, h *house) {
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 30, FrameBytes: 500_000}
	for range 20 {
		pub.Write(source.Next())
	}
	stuck, idle := h.player(t, "x"), h.player(t, "x")
	stuck.expectLines(beginning...)
	idle.expectLines(beginning...)
	for range 21 { // sequence header and pictures
		idle.next()
	}
	began := time.Now()
	h.stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	if code, description := idle.expectCode("onStatus"); code != "NetStream.Play.Failed" || !strings.Contains(description, "shutting down") {
		t.Error(code, description)
	}
}

// Players that take nothing share what they hold back: for thirty of them a
// stream costs its own bytes, once.
func TestStuckPlayersShareWhatTheyHold(t *testing.T) {
	const players, picture, pictures = 30, 200_000, 100
	h := newHouse(t, func(c *Config) { c.WriteTimeout = time.Minute })
	pub := h.publish(t, "live/x")
	source := &mediatest.Source{Video: mediatest.H264Track(1), GOP: 25, FrameBytes: picture}
	for range 50 {
		pub.Write(source.Next())
	}
	for range players {
		h.player(t, "x").expectLines(beginning...) // and no more
	}
	waitFor(t, "the players", func() bool { return h.ingest.Stats().Players == players })
	before := heap()
	for range pictures {
		pub.Write(source.Next())
	}
	if grown := int64(heap()) - int64(before); grown > 2*pictures*picture {
		t.Errorf("the heap grew by %d KiB for %d KiB of pictures", grown>>10, pictures*picture>>10)
	}
	h.stop()
}
