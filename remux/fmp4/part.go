package fmp4

// Sample is one frame in a part.
type Sample struct {
	// Duration is in ticks of the track's timescale, up to the next sample.
	Duration uint32
	// CompositionTime is PTS - DTS in ticks; it may be negative.
	CompositionTime int32
	// Sync says that decoding may start here.
	Sync bool
	// Data is the coded frame.
	Data []byte
}

// Flags of tfhd (ISO 14496-12, 8.8.7.1), trun (8.8.8.1) and samples (8.8.3.1).
const (
	tfhdDefaultDuration = 0x000008
	tfhdDefaultFlags    = 0x000020
	tfhdBaseIsMoof      = 0x020000

	trunDataOffset  = 0x001
	trunDuration    = 0x100
	trunSize        = 0x200
	trunFlags       = 0x400
	trunComposition = 0x800

	sampleSync    = 0x02000000 // depends on no other
	sampleNonSync = 0x01010000 // depends on others, is no sync sample
)

// layout says what all samples of a part have in common: that is written once.
type layout struct {
	flags        uint32 // of trun
	tfhd         uint32 // flags of tfhd
	perSample    int    // bytes in trun
	payloadBytes int
}

func layoutOf(samples []Sample) layout {
	l := layout{flags: trunDataOffset | trunSize, tfhd: tfhdBaseIsMoof | tfhdDefaultDuration | tfhdDefaultFlags, perSample: 4}
	for i := range samples {
		s := &samples[i]
		l.payloadBytes += len(s.Data)
		if s.Duration != samples[0].Duration {
			l.flags |= trunDuration
		}
		if !s.Sync {
			l.flags |= trunFlags
		}
		if s.CompositionTime != 0 {
			l.flags |= trunComposition
		}
	}
	for _, f := range [...]struct{ trun, tfhd uint32 }{
		{trunDuration, tfhdDefaultDuration}, {trunFlags, tfhdDefaultFlags}, {trunComposition, 0},
	} {
		if l.flags&f.trun != 0 {
			l.tfhd &^= f.tfhd
			l.perSample += 4
		}
	}
	return l
}

// PartSize returns at least how many bytes AppendPart appends for samples, so
// that a caller allocates once.
func PartSize(samples []Sample) int {
	l := layoutOf(samples)
	return partOverhead + l.perSample*len(samples) + l.payloadBytes
}

// partOverhead is moof, mfhd, traf, tfhd with both defaults, tfdt, trun and mdat.
const partOverhead = 8 + 16 + 8 + 24 + 20 + 20 + 8

// AppendPart appends one part, moof and mdat, and returns the extended slice.
// sequence numbers the parts of a track from 1, baseTime is the DTS of the
// first sample in ticks. samples must not be empty: players stall on a moof
// without samples.
func AppendPart(dst []byte, sequence uint32, baseTime uint64, samples []Sample) []byte {
	l := layoutOf(samples)
	dst, moof := begin(dst, "moof")
	dst, mfhd := beginFull(dst, "mfhd", 0, 0)
	dst = end(u32s(dst, sequence), mfhd)

	dst, traf := begin(dst, "traf")
	dst, tfhd := beginFull(dst, "tfhd", 0, l.tfhd)
	dst = u32s(dst, trackID)
	if l.tfhd&tfhdDefaultDuration != 0 {
		dst = u32s(dst, samples[0].Duration)
	}
	if l.tfhd&tfhdDefaultFlags != 0 {
		dst = u32s(dst, sampleSync)
	}
	dst = end(dst, tfhd)
	dst, tfdt := beginFull(dst, "tfdt", 1, 0)
	dst = end(be.AppendUint64(dst, baseTime), tfdt)
	dst = appendTrun(dst, moof, l, samples)
	dst = end(dst, traf)
	dst = end(dst, moof)

	dst, mdat := begin(dst, "mdat")
	for i := range samples {
		dst = append(dst, samples[i].Data...)
	}
	return end(dst, mdat)
}

// appendTrun appends a track run of version 1, whose composition times are
// signed. It is the last box of its moof, so it knows where the data will be.
func appendTrun(dst []byte, moof int, l layout, samples []Sample) []byte {
	dst, trun := beginFull(dst, "trun", 1, l.flags)
	dataOffset := trun + 20 + l.perSample*len(samples) + 8 - moof
	dst = u32s(dst, uint32(len(samples)), uint32(dataOffset))
	for i := range samples {
		s := &samples[i]
		if l.flags&trunDuration != 0 {
			dst = be.AppendUint32(dst, s.Duration)
		}
		dst = be.AppendUint32(dst, uint32(len(s.Data)))
		if l.flags&trunFlags != 0 {
			flags := uint32(sampleNonSync)
			if s.Sync {
				flags = sampleSync
			}
			dst = be.AppendUint32(dst, flags)
		}
		if l.flags&trunComposition != 0 {
			dst = be.AppendUint32(dst, uint32(s.CompositionTime))
		}
	}
	return end(dst, trun)
}
