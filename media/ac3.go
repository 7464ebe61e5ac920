package media

import (
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/ac3"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/eac3"
)

// The samples of an AC-3 frame and of a block of E-AC-3 (ETSI TS 102 366).
const (
	ac3Samples  = 1536
	eac3Samples = 256
)

// NewAC3Track describes a track by a frame of it. Config is what the box dac3
// holds (ETSI TS 102 366, F.4). Errors wrap ErrBadConfig.
func NewAC3Track(id int, frame []byte) (*Track, error) {
	var s ac3.SyncInfo
	if err := s.Unmarshal(frame); err != nil {
		return nil, fmt.Errorf("%w: AC-3 frame: %w", ErrBadConfig, err)
	}
	var b ac3.BSI
	if err := b.Unmarshal(frame[5:]); err != nil {
		return nil, fmt.Errorf("%w: AC-3 frame: %w", ErrBadConfig, err)
	}
	v := uint32(s.Fscod)<<22 | uint32(b.Bsid)<<17 | uint32(b.Bsmod)<<14 | uint32(b.Acmod)<<11 | uint32(s.Frmsizecod>>1)<<5
	if b.LfeOn {
		v |= 1 << 10
	}
	return &Track{
		ID: id, Codec: AC3, Config: []byte{byte(v >> 16), byte(v >> 8), byte(v)},
		SampleRate: s.SampleRate(), Channels: b.ChannelCount(),
	}, nil
}

// NewEAC3Track describes a track by an access unit of it: an independent
// substream and the one that may depend on it. Config is what the box dec3
// holds (ETSI TS 102 366, F.6), with a data rate of 0: it may change from frame
// to frame. Errors wrap ErrBadConfig.
func NewEAC3Track(id int, frame []byte) (*Track, error) {
	first, err := eac3SyncInfo(frame)
	if err != nil {
		return nil, err
	}
	if first.Strmtyp == eac3Dependent {
		return nil, fmt.Errorf("%w: E-AC-3 begins with a dependent substream", ErrBadConfig)
	}
	v := uint32(first.Fscod)<<22 | uint32(first.Bsid)<<17 | uint32(first.Acmod)<<9
	if first.Lfeon {
		v |= 1 << 8
	}
	t := &Track{ID: id, Codec: EAC3, SampleRate: first.SampleRate(), Channels: first.ChannelCount()}
	locations, ok := eac3Locations(frame[min(first.FrameSize(), len(frame)):])
	if !ok {
		t.Config = []byte{0, 0, byte(v >> 16), byte(v >> 8), byte(v)}
		return t, nil
	}
	v = (v|1<<1)<<8 | uint32(locations) // one dependent substream, chan_loc
	t.Config = []byte{0, 0, byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
	for i, channels := range eac3LocationChannels {
		if locations>>i&1 != 0 {
			t.Channels += channels
		}
	}
	return t, nil
}

// eac3Dependent is the type of a substream that adds channels to another.
const eac3Dependent = 1

// eac3LocationChannels are the channels of each bit of chan_loc, the lowest
// first: Lc/Rc, Lrs/Rrs, Cs, Ts, Lsd/Rsd, Lw/Rw, Lvh/Rvh, Cvh, LFE2.
var eac3LocationChannels = [9]int{2, 2, 1, 1, 2, 2, 2, 1, 1}

// eac3Locations returns where the channels of a dependent substream belong; ok
// is false if there is none. Without a channel map of its own it replaces
// channels and adds none (E.2.3.1.8).
func eac3Locations(frame []byte) (locations uint16, ok bool) {
	s, err := eac3SyncInfo(frame)
	if err != nil || s.Strmtyp != eac3Dependent {
		return 0, false
	}
	r := &bitReader{b: frame, pos: 45} // behind bsid
	r.bits(5)                          // dialnorm
	if r.flag() {
		r.bits(8)
	}
	if s.Acmod == 0 {
		r.bits(5)
		if r.flag() {
			r.bits(8)
		}
	}
	if !r.flag() || r.err != nil {
		return 0, true
	}
	chanmap := uint16(r.bits(16)) // the highest bit is L
	for i := range 8 {
		locations |= chanmap >> (10 - i) & 1 << i
	}
	return locations | chanmap>>1&1<<8, r.err == nil
}

func eac3SyncInfo(frame []byte) (s eac3.SyncInfo, err error) {
	if err := s.Unmarshal(frame); err != nil {
		return s, fmt.Errorf("%w: E-AC-3 frame: %w", ErrBadConfig, err)
	}
	return s, nil
}

// eac3Duration returns the samples of an access unit, those of its first
// substream.
func eac3Duration(frame []byte) (samples int) {
	for len(frame) > 0 {
		s, err := eac3SyncInfo(frame)
		if err != nil {
			break
		}
		if s.Strmtyp != eac3Dependent && s.Substreamid == 0 {
			samples += s.NumBlocks() * eac3Samples
		}
		frame = frame[min(s.FrameSize(), len(frame)):]
	}
	return samples
}
