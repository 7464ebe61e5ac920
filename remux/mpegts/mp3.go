package mpegts

// mp3Bitrates are those of layer III by bitrate_index, in kbit/s (ISO 11172-3,
// 2.4.2.3; ISO 13818-3, 2.4.2.3 for half and quarter sample rates).
var mp3Bitrates = [2][16]int{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

// maxOthers is how many headers of other layers, before any of layer III, make a
// stream one of another layer. A few are found in what is left of the first frame.
const maxOthers = 8

// cutMPEG finds a frame of MPEG audio (ISO 11172-3, 2.4.1.3). Layer III is
// carried, the others are not. A frame whose header tells no bitrate has no size
// either. mediacommon takes frames of half the sample rates for twice as long as
// they are.
func (s *soundParser) cutMPEG(b []byte) cut {
	if len(b) < 4 {
		return cut{}
	}
	version, layer, rate := b[1]>>3&3, b[1]>>1&3, b[2]>>2&3
	if b[0] != 0xff || b[1]&0xe0 != 0xe0 || version == 1 || layer == 0 || rate == 3 {
		return cut{size: -1}
	}
	if layer != 1 {
		if s.others++; s.current == nil && s.others >= maxOthers {
			s.refused = "MPEG audio of layer " + [...]string{2: "II", 3: "I"}[layer]
		}
		return cut{size: -1}
	}
	kind, slots := 0, 144 // bytes a frame of a bit a sample
	if version != 3 {
		kind, slots = 1, 72
	}
	bitrate := mp3Bitrates[kind][b[2]>>4] * 1000
	if bitrate == 0 {
		return cut{size: -1}
	}
	hz := [...]int{44100, 48000, 32000}[rate]
	switch version {
	case 2:
		hz /= 2
	case 0:
		hz /= 4
	}
	return cut{size: slots*bitrate/hz + int(b[2]>>1&1)}
}
