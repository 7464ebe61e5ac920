package media

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/opus"
)

const (
	opusMagic    = "OpusHead"
	opusHeadSize = 19
	opusRate     = 48000
	// opusPreSkip is what encoders ask decoders to leave out, in samples.
	opusPreSkip = 312
	// maxOpusInputRate is beyond any input's rate, in Hz: a record that says more
	// was written with its bytes in the other order.
	maxOpusInputRate = 768000
)

// NewOpusTrack describes a track by its identification header (RFC 7845, 5.1),
// "OpusHead" included. Encoders exist that write its numbers in network order,
// which the RFC does not; Config then holds them as it wants them. SampleRate
// is always 48000, that of the decoder. Errors wrap ErrBadConfig.
func NewOpusTrack(id int, head []byte) (*Track, error) {
	if len(head) < opusHeadSize || len(head) > opusHeadSize+2+255 || string(head[:8]) != opusMagic || head[8]>>4 != 0 {
		return nil, fmt.Errorf("%w: OpusHead of %d bytes", ErrBadConfig, len(head))
	}
	head = bytes.Clone(head)
	if head[8] == 0 { // that of the box dOps; there is no such header
		head[8] = 1
	}
	channels, family := int(head[9]), head[18]
	if channels == 0 || family == 0 && channels > 2 {
		return nil, fmt.Errorf("%w: OpusHead of %d channels, mapping family %d", ErrBadConfig, channels, family)
	}
	if family == 0 {
		head = head[:opusHeadSize]
	} else if len(head) < opusHeadSize+2+channels {
		return nil, fmt.Errorf("%w: OpusHead ends inside its channel mapping", ErrBadConfig)
	}
	little, big := binary.LittleEndian, binary.BigEndian
	if little.Uint32(head[12:]) > maxOpusInputRate && big.Uint32(head[12:]) <= maxOpusInputRate {
		little.PutUint16(head[10:], big.Uint16(head[10:]))
		little.PutUint32(head[12:], big.Uint32(head[12:]))
		little.PutUint16(head[16:], big.Uint16(head[16:]))
	}
	return &Track{ID: id, Codec: Opus, Config: head, SampleRate: opusRate, Channels: channels}, nil
}

// OpusConfig makes an identification header for a number of channels in the
// order of Vorbis (RFC 7845, 5.1.1.2), from 1 to 8; beyond, it is for 2.
func OpusConfig(channels int) []byte {
	if channels < 1 || channels > 8 {
		channels = 2
	}
	head := append([]byte(opusMagic), 1, byte(channels))
	head = binary.LittleEndian.AppendUint16(head, opusPreSkip)
	head = binary.LittleEndian.AppendUint32(head, opusRate)
	head = binary.LittleEndian.AppendUint16(head, 0)
	if channels <= 2 {
		return append(head, 0)
	}
	// The streams and coupled streams that encoders use, and the mapping.
	layouts := [9][]byte{
		3: {2, 1, 0, 2, 1},
		4: {2, 2, 0, 1, 2, 3},
		5: {3, 2, 0, 4, 1, 2, 3},
		6: {4, 2, 0, 4, 1, 2, 3, 5},
		7: {5, 2, 0, 4, 1, 2, 3, 5, 6},
		8: {5, 3, 0, 6, 1, 2, 3, 4, 5, 7},
	}
	return append(append(head, 1), layouts[channels]...)
}

// opusSamples returns how many samples of 48 kHz a packet holds, 0 if it is none.
func opusSamples(packet []byte) int {
	n := opus.PacketDuration2(packet)
	if n > 5760 { // 120 ms (RFC 6716, 3.2.5)
		return 0
	}
	return int(n)
}
