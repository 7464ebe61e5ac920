package srt

import (
	"strconv"
	"strings"
	"time"

	gosrt "github.com/datarhei/gosrt"
)

// What of gosrt's log is of use.
const (
	// topicShutdown reports the peer's shutdown packet.
	topicShutdown = "control:recv:shutdown:dump"
	// topicHandshake reports each handshake, in the goroutine that reads it.
	topicHandshake = "handshake:recv:cif"
	// topicData reports each data packet, in the goroutine that handles the
	// packets of its connection, when its delivery time is known.
	topicData = "data:recv:dump"
)

// observer is gosrt's logger, and tells what gosrt's interfaces do not. To its
// Read a peer that said goodbye and one that fell silent are the same io.EOF.
// Its ConnRequest does not say the MTU, which gosrt believes whatever it is.
type observer struct{ l *Listener }

var _ gosrt.Logger = observer{}

// HasTopic is for callers that ask first.
func (observer) HasTopic(topic string) bool {
	return topic == topicShutdown || topic == topicHandshake || topic == topicData
}

// Print is called by gosrt for every packet.
func (o observer) Print(topic string, socketID uint32, _ int, message func() string) {
	switch topic {
	case topicShutdown:
		o.goodbye(socketID)
	case topicHandshake:
		o.l.mtu = mtuOf(message())
	case topicData:
		if c := o.admitted(socketID); c != nil {
			c.drift.Load().follow(time.Now(), message)
		}
	}
}

func (o observer) admitted(socketID uint32) *conn {
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	return o.l.admitted[socketID]
}

// goodbye notes which connection was ended by its peer, and gives its reader
// time for the end.
func (o observer) goodbye(socketID uint32) {
	if c := o.admitted(socketID); c != nil {
		c.peerEnded.Store(true)
		c.awaitLast()
	}
}

// mtuOf finds a handshake's MTU in gosrt's description of it; 0 if it is not
// there.
func mtuOf(handshake string) uint32 {
	_, rest, _ := strings.Cut(handshake, "maxTransmissionUnitSize: ")
	hex, _, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(hex, 0, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// Listen is not used.
func (observer) Listen() <-chan gosrt.Log { return nil }

// Close does nothing.
func (observer) Close() {}
