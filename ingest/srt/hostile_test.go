package srt

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/datarhei/gosrt/packet"

	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/srt/srttest"
)

// conclusion makes a handshake of so many bytes that claims to conclude and
// to have extensions.
func conclusion(size int) []byte {
	b := make([]byte, 16+size)
	binary.BigEndian.PutUint16(b, 0x8000)
	binary.BigEndian.PutUint32(b[16:], 5)
	binary.BigEndian.PutUint16(b[16+6:], 1)
	binary.BigEndian.PutUint32(b[16+20:], 0xffffffff)
	return b
}

// TestBrokenHandshakes holds that no datagram from anybody ends the server:
// extensions of the handshake may be cut off anywhere.
func TestBrokenHandshakes(t *testing.T) {
	l := listen(t)
	out, err := net.Dial("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	random := rand.New(rand.NewPCG(6, 0))
	go func() {
		for size := 48; size < 120; size++ {
			b := conclusion(size)
			out.Write(b)
			for i := 64; i < len(b); i++ {
				b[i] = byte(random.Uint32N(8))
			}
			out.Write(b)
		}
		srttest.Call(l.Addr(), "live/alice", 0)
	}()
	if _, r, err := accept(t, l); err != nil || r.Key.String() != "live/alice" {
		t.Error(r, err)
	}
}

// TestUnusableHandshakes holds that what gosrt could not work with is refused.
func TestUnusableHandshakes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*packet.CIFHandshake)
		want   string
	}{
		{"an MTU of nothing", func(h *packet.CIFHandshake) { h.MaxTransmissionUnitSize = 0 }, "2400"},
		{"an MTU of headers only", func(h *packet.CIFHandshake) { h.MaxTransmissionUnitSize = headers }, "1004"},
		{"an MTU too small for a packet", func(h *packet.CIFHandshake) { h.MaxTransmissionUnitSize = minMTU - 1 }, "2400"},
		{"SRT before 1.3", func(h *packet.CIFHandshake) {
			h.Version, h.ExtensionField, h.HasHS, h.HasSID = 4, 2, false, false
		}, "1008"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := listenWith(t, func(c *Config) { c.DefaultKey = "live/camera" })
			answer := make(chan error, 1)
			go func() {
				_, err := srttest.CallWith(l.Addr(), "live/alice", 0, c.change)
				answer <- err
			}()
			conn, _, err := accept(t, l)
			if !errors.Is(err, ingest.ErrBadRequest) {
				t.Error(err)
			}
			conn.Reject(err)
			if err := <-answer; err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("the caller sees %v, want %s", err, c.want)
			}
		})
	}
}

// TestHostileControlPackets holds that an admitted peer cannot end the server
// either.
func TestHostileControlPackets(t *testing.T) {
	for _, id := range []string{"publish:live/alice", "request:live/alice"} {
		t.Run(id, func(t *testing.T) {
			l := listen(t)
			caller, c := call(t, l, id, 0)
			random := rand.New(rand.NewPCG(7, 0))
			kinds := []uint16{0, 1, 2, 3, 4, 6, 7, 8, 0x7fff, 0x1234}
			for range 5000 {
				content := make([]byte, random.IntN(80))
				for i := range content {
					content[i] = byte(random.Uint32())
				}
				if len(content) > 3 && random.IntN(2) == 0 { // near to what is there
					binary.BigEndian.PutUint32(content, random.Uint32N(10))
				}
				caller.Control(kinds[random.IntN(len(kinds))], uint16(random.IntN(8)), random.Uint32N(20), content)
				if random.IntN(10) == 0 {
					caller.Send(content, time.Duration(random.IntN(100))*time.Millisecond)
				}
				if id[0] == 'r' && random.IntN(20) == 0 {
					c.srt.Write(make([]byte, 188))
				}
			}
			c.Transport()
			c.Close()
			if _, _, err := tryCall(t, l, id, 0); err != nil {
				t.Error(err)
			}
		})
	}
}
