package media

import (
	"bytes"
	"slices"
)

// maxInBand bounds the parameter sets of one kind that are taken from an access
// unit: encoders send one, or one a layer.
const maxInBand = 8

// H.264 NAL unit types of parameter sets (H.264, table 7-1).
const (
	naluSPS264 = 7
	naluPPS264 = 8
)

// parameterSets are those of a record or of an access unit; vps is H.265's.
type parameterSets struct {
	vps, sps, pps [][]byte
}

// inBand collects the parameter sets of an access unit.
func inBand(c Codec, data []byte) (p parameterSets) {
	for nalu := range NALUs(data) {
		var to *[][]byte
		if c == H264 {
			switch nalu[0] & 0x1f {
			case naluSPS264:
				to = &p.sps
			case naluPPS264:
				to = &p.pps
			}
		} else {
			switch nalu[0] >> 1 & 0x3f {
			case naluVPS:
				to = &p.vps
			case naluSPS:
				to = &p.sps
			case naluPPS:
				to = &p.pps
			}
		}
		if to != nil && len(*to) < maxInBand && !contains(*to, nalu) {
			*to = append(*to, nalu)
		}
	}
	return p
}

// ofRecord are the parameter sets of a track's record, none if it has no
// usable one.
func ofRecord(t *Track) (p parameterSets) {
	var err error
	if t.Codec == H264 {
		p.sps, p.pps, err = H264ParameterSets(t.Config)
	} else {
		p.vps, p.sps, p.pps, err = H265ParameterSets(t.Config)
	}
	if err != nil {
		return parameterSets{}
	}
	return p
}

// covers reports whether every set of q is in p.
func (p *parameterSets) covers(q *parameterSets) bool {
	for _, pair := range [][2][][]byte{{p.vps, q.vps}, {p.sps, q.sps}, {p.pps, q.pps}} {
		for _, set := range pair[1] {
			if !contains(pair[0], set) {
				return false
			}
		}
	}
	return true
}

func contains(sets [][]byte, set []byte) bool {
	return slices.ContainsFunc(sets, func(s []byte) bool { return bytes.Equal(s, set) })
}

// refreshNALUs is Refresh for H.264 and H.265. Sets that a frame leaves out
// are those of the record. Another PPS alone makes no other track: encoders
// exist whose PPS differs from picture to picture, it stands before each that
// needs it, and every new track is a discontinuity to HLS players.
func refreshNALUs(t *Track, data []byte) (*Track, error) {
	frame, known := inBand(t.Codec, data), ofRecord(t)
	if known.covers(&frame) || len(known.pps) > 0 && known.covers(&parameterSets{vps: frame.vps, sps: frame.sps}) {
		return t, nil
	}
	for _, pair := range []struct{ frame, known *[][]byte }{
		{&frame.vps, &known.vps}, {&frame.sps, &known.sps}, {&frame.pps, &known.pps},
	} {
		if len(*pair.frame) == 0 {
			*pair.frame = *pair.known
		}
	}
	if t.Codec == H264 {
		config, err := h264Config(frame.sps, frame.pps)
		if err != nil {
			return t, err
		}
		return NewH264Track(t.ID, config)
	}
	config, err := h265Config(frame.vps, frame.sps, frame.pps)
	if err != nil {
		return t, err
	}
	return NewH265Track(t.ID, config)
}
