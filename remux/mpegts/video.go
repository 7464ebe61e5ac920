package mpegts

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/bits"

	"github.com/miju-live/miju/media"
)

// maxNALUs bounds the NAL units of an access unit. H.264's and H.265's levels
// allow at most some 600 slices a picture; SEI and the like come on top.
const maxNALUs = 4096

// What happens to a NAL unit on its way into an access unit.
type role uint8

const (
	// other is neither picture nor parameter set, and kept.
	other role = iota
	// picture is a coded slice.
	picture
	// dropped is of no use outside Annex B: access unit delimiters, filler data.
	dropped
	vps
	sps
	pps
)

// roleOf reads a NAL unit's header (H.264, table 7-1; H.265, table 7-1).
func roleOf(codec media.Codec, nalu []byte) role {
	if codec == media.H264 {
		switch t := nalu[0] & 0x1f; {
		case t >= 1 && t <= 5:
			return picture
		case t == 7:
			return sps
		case t == 8:
			return pps
		case t == 9 || t == 12:
			return dropped
		}
		return other
	}
	switch t := nalu[0] >> 1 & 0x3f; {
	case t < 32:
		return picture
	case t == 32:
		return vps
	case t == 33:
		return sps
	case t == 34:
		return pps
	case t == 35 || t == 38:
		return dropped
	}
	return other
}

// videoParser makes access units of the PES packets of an H.264 or H.265
// stream: each PES packet holds one (ISO 13818-1, 2.14.1, asks for no more,
// but encoders do so).
type videoParser struct {
	id            int
	codec         media.Codec
	current       *media.Track
	vps, sps, pps []byte
	nalus         [][]byte
}

var _ parser = (*videoParser)(nil)

func (v *videoParser) track() *media.Track { return v.current }

func (v *videoParser) lost() {}

func (v *videoParser) frames(dst []media.Frame, p *pes, st *Stats) []media.Frame {
	if !p.timed {
		st.Untimed++
		return dst
	}
	var ok bool
	if v.nalus, ok = splitAnnexB(v.nalus[:0], p.payload); !ok {
		st.Malformed++
		return dst
	}
	kept, pictures := v.sort(st)
	if pictures == 0 {
		return dst
	}
	if v.current == nil {
		st.Undescribed++
		return dst
	}
	size := 0
	for _, n := range kept {
		size += 4 + len(n)
	}
	data := media.AppendLengthPrefixed(make([]byte, 0, size), kept...)
	randomAccess, err := media.CheckNALUs(v.codec, data)
	if err != nil {
		st.Malformed++
		return dst
	}
	return append(dst, media.Frame{Track: v.current, DTS: duration(p.dts), PTS: duration(p.pts), RandomAccess: randomAccess, Data: data})
}

// sort takes the parameter sets out of v.nalus into the track and returns what
// stays in the access unit. A second set beside the one that the configuration
// record holds stays where it is: the record made here has one of each.
func (v *videoParser) sort(st *Stats) (kept [][]byte, pictures int) {
	var changed, seenVPS, seenSPS bool
	set := func(to *[]byte, n []byte) bool {
		if bytes.Equal(*to, n) {
			return false
		}
		*to = bytes.Clone(n)
		changed = true
		return true
	}
	kept = v.nalus[:0]
	for _, n := range v.nalus {
		keep := false
		switch roleOf(v.codec, n) {
		case other:
			keep = true
		case picture:
			pictures++
			keep = true
		case vps:
			if keep = seenVPS && !bytes.Equal(v.vps, n); !keep {
				set(&v.vps, n)
			}
			seenVPS = true
		case sps:
			if keep = seenSPS && !bytes.Equal(v.sps, n); !keep && set(&v.sps, n) {
				v.pps = nil // it refers to the old SPS
			}
			seenSPS = true
		case pps:
			if keep = v.pps != nil && v.ppsID(v.pps) != v.ppsID(n); !keep {
				set(&v.pps, n)
			}
		}
		if keep {
			kept = append(kept, n)
		}
	}
	if changed {
		v.configure(st)
	}
	return kept, pictures
}

// configure makes the track anew once all parameter sets are there.
func (v *videoParser) configure(st *Stats) {
	if v.sps == nil || v.pps == nil || v.codec == media.H265 && v.vps == nil {
		return
	}
	var record []byte
	var err error
	newTrack := media.NewH264Track
	if v.codec == media.H264 {
		record, err = media.H264Config(v.sps, v.pps)
	} else {
		newTrack = media.NewH265Track
		record, err = media.H265Config(v.vps, v.sps, v.pps)
	}
	if err == nil && v.current != nil && bytes.Equal(record, v.current.Config) {
		return
	}
	var t *media.Track
	if err == nil {
		t, err = newTrack(v.id, record)
	}
	if err != nil {
		st.Malformed++
		return
	}
	v.current = t
}

// ppsID returns pic_parameter_set_id, which stands behind the NAL unit header
// (H.264, 7.3.2.2; H.265, 7.3.2.3.1), or 0 if it is cut short.
func (v *videoParser) ppsID(nalu []byte) uint32 {
	pos := 8
	if v.codec == media.H265 {
		pos = 16
	}
	if len(nalu)*8 <= pos { // ReadGolombUnsigned minds only where bits end
		return 0
	}
	id, err := bits.ReadGolombUnsigned(nalu, &pos)
	if err != nil {
		return 0
	}
	return id
}

// splitAnnexB appends the NAL units of an Annex B byte stream to dst, without
// the zero bytes around them (H.264, B.1; H.265, B.2). It is false without a
// start code at the beginning, or with more than maxNALUs.
func splitAnnexB(dst [][]byte, b []byte) ([][]byte, bool) {
	start := bytes.Index(b, []byte{0, 0, 1})
	if start < 0 || len(bytes.TrimLeft(b[:start], "\x00")) > 0 {
		return dst, false
	}
	for b = b[start+3:]; ; {
		next := bytes.Index(b, []byte{0, 0, 1})
		nalu := b
		if next >= 0 {
			nalu = b[:next]
		}
		// No NAL unit ends in a zero byte (H.264, 7.4.1).
		nalu = bytes.TrimRight(nalu, "\x00")
		if len(nalu) > 0 {
			if len(dst) == maxNALUs {
				return dst, false
			}
			dst = append(dst, nalu)
		}
		if next < 0 {
			return dst, true
		}
		b = b[next+3:]
	}
}
