package flv

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miju-live/miju/media"
)

// maxModEx bounds the modifiers of one body. One is what there is.
const maxModEx = 16

// AvMultitrackType: what a body of several tracks looks like.
const (
	multitrackOne      = 0
	multitrackMany     = 1
	multitrackManyFour = 2
)

// modExNano is the only modifier there is, TimestampOffsetNano; maxNano is the
// most that it may add.
const (
	modExNano = 0
	maxNano   = 999_999
)

// packet is what a body of Enhanced RTMP holds of one track.
type packet struct {
	// head is the first byte: of video it has the frame type.
	head byte
	// typ is the packet's real type, without ModEx and Multitrack.
	typ byte
	// codec is 0 where the packet is of none.
	codec media.Codec
	track int
	time  time.Duration
	data  []byte
}

// extended reads the header of Enhanced RTMP ("ExVideoTagHeader",
// "ExAudioTagHeader") and hands each track's packet to handle.
func extended(body []byte, timestamp time.Duration, multitrack byte, handle func(*packet) error) error {
	p := packet{head: body[0], typ: body[0] & 0x0f, time: timestamp}
	rest, err := p.modify(body[1:])
	if err != nil {
		return err
	}
	if p.typ == multitrack {
		return p.tracks(rest, multitrack, handle)
	}
	if p.data, err = p.fourCC(rest); err != nil {
		return err
	}
	return handle(&p)
}

// modify reads the modifiers before the packet's real type.
func (p *packet) modify(rest []byte) ([]byte, error) {
	for n := 0; p.typ == exModEx; n++ {
		if n == maxModEx {
			return nil, fmt.Errorf("%w: more than %d modifiers in Enhanced RTMP", ErrTooLarge, maxModEx)
		}
		if len(rest) < 2 {
			return nil, cutShort("ModEx packet", len(rest))
		}
		size := int(rest[0]) + 1
		rest = rest[1:]
		if size == 256 {
			if len(rest) < 2 {
				return nil, cutShort("ModEx packet", len(rest))
			}
			size = int(binary.BigEndian.Uint16(rest)) + 1
			rest = rest[2:]
		}
		if len(rest) < size+1 {
			return nil, cutShort("ModEx packet", len(rest))
		}
		value, kind := rest[:size], rest[size]>>4
		p.typ = rest[size] & 0x0f
		rest = rest[size+1:]
		if kind == modExNano && size >= 3 {
			// It makes the message's timestamp more exact, so the decode time, too.
			p.time += time.Duration(min(int(value[0])<<16|int(value[1])<<8|int(value[2]), maxNano))
		}
	}
	return rest, nil
}

// fourCC cuts the codec off.
func (p *packet) fourCC(rest []byte) ([]byte, error) {
	if len(rest) < 4 {
		return nil, cutShort("tag of Enhanced RTMP", len(rest))
	}
	codec, known := fourCCs[fourCC(binary.BigEndian.Uint32(rest))]
	if !known {
		return nil, unsupportedFourCC(rest[:4])
	}
	p.codec = codec
	return rest[4:], nil
}

// tracks reads the packets of a body of several tracks.
func (p *packet) tracks(rest []byte, multitrack byte, handle func(*packet) error) (err error) {
	if len(rest) < 1 {
		return cutShort("multitrack packet", len(rest))
	}
	form := rest[0] >> 4
	p.typ = rest[0] & 0x0f
	rest = rest[1:]
	switch {
	case form > multitrackManyFour:
		return unsupported("multitrack form %d in Enhanced RTMP", form)
	case p.typ == multitrack || p.typ == exModEx:
		return fmt.Errorf("%w: packet type %d inside a multitrack packet", ErrMalformed, p.typ)
	case form != multitrackManyFour:
		if rest, err = p.fourCC(rest); err != nil {
			return err
		}
	}
	for n := 0; len(rest) > 0 || n == 0; n++ {
		if n == MaxTracks {
			return fmt.Errorf("%w: more than %d tracks in a packet", ErrTooLarge, MaxTracks)
		}
		if form == multitrackManyFour {
			if rest, err = p.fourCC(rest); err != nil {
				return err
			}
		}
		if len(rest) < 1 {
			return cutShort("track of a multitrack packet", len(rest))
		}
		p.track = int(rest[0])
		if rest = rest[1:]; form == multitrackOne {
			p.data, rest = rest, nil
		} else if p.data, rest, err = cutTrack(rest); err != nil {
			return err
		}
		if err := handle(p); err != nil {
			return err
		}
	}
	return nil
}

// cutTrack cuts a track's data behind its 24-bit size.
func cutTrack(b []byte) (data, rest []byte, err error) {
	if len(b) < 3 {
		return nil, nil, cutShort("size of a track", len(b))
	}
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if n > len(b)-3 {
		return nil, nil, fmt.Errorf("%w: track of %d bytes in %d", ErrMalformed, n, len(b)-3)
	}
	return b[3 : 3+n], b[3+n:], nil
}

// fourCCs are the codecs that are carried, fourCCNames those that Enhanced
// RTMP names besides.
var (
	fourCCs = map[fourCC]media.Codec{
		fourCCAVC: media.H264, fourCCHEVC: media.H265, fourCCAV1: media.AV1, fourCCVP9: media.VP9,
		fourCCAAC: media.AAC, fourCCOpus: media.Opus, fourCCFLAC: media.FLAC,
		fourCCAC3: media.AC3, fourCCEAC3: media.EAC3, fourCCMP3: media.MP3,
	}
	fourCCNames = map[string]string{"vp08": "VP8", "vvc1": "H.266"}
)

func unsupportedFourCC(b []byte) error {
	name, known := fourCCNames[string(b)]
	if !known {
		return unsupported("FourCC %q in Enhanced RTMP", b)
	}
	return unsupported("%s (%s) in Enhanced RTMP", name, b)
}
