package fmp4

import (
	"encoding/binary"

	"github.com/miju-live/miju/media"
)

// maxAACConfig keeps every descriptor's size of esds in one byte.
const maxAACConfig = 64

// Descriptor tags (ISO 14496-1, table 1).
const (
	tagES             = 3
	tagDecoderConfig  = 4
	tagDecoderInfo    = 5
	tagSyncLayer      = 6
	objectTypeMPEG4   = 0x40 // audio ISO 14496-3 (table 5)
	objectTypeMPEG1   = 0x6b // audio ISO 11172-3
	streamTypeAudio   = 5<<2 | 1
	syncLayerReserved = 2 // predefined: MP4 file
)

// audioEntries are the names of a codec's sample entry.
var audioEntries = map[media.Codec]string{
	media.AAC:  "mp4a",
	media.MP3:  "mp4a",
	media.Opus: "Opus",
	media.FLAC: "fLaC",
	media.AC3:  "ac-3",
	media.EAC3: "ec-3",
}

// appendAudioEntry appends the sample entry of sound (ISO 14496-12, 12.2.3)
// with the codec's record in it.
func appendAudioEntry(dst []byte, t *media.Track) []byte {
	dst, entry := begin(dst, audioEntries[t.Codec])
	dst = zeros(dst, 6)
	dst = u16s(dst, 1)  // data_reference_index
	dst = zeros(dst, 8) // reserved
	rate := t.SampleRate
	if rate > 0xffff {
		rate = 0 // does not fit 16.16; the record says it
	}
	dst = u16s(dst, clamp16(t.Channels), sampleSize(t), 0, 0)
	dst = u32s(dst, uint32(rate)<<16)
	var box int
	switch t.Codec {
	case media.AAC:
		dst = appendESDS(dst, t, objectTypeMPEG4, t.Config)
	case media.MP3:
		dst = appendESDS(dst, t, objectTypeMPEG1, nil)
	case media.Opus:
		dst = appendDOps(dst, t.Config)
	case media.FLAC: // FLAC in ISOBMFF, 3.3.2: the last and only block
		dst, box = beginFull(dst, "dfLa", 0, 0)
		dst = append(append(dst, 0x80, 0, 0, media.FLACStreamInfoSize), t.Config...)
		dst = end(dst, box)
	case media.AC3: // ETSI TS 102 366, F.4
		dst, box = begin(dst, "dac3")
		dst = end(append(dst, t.Config...), box)
	case media.EAC3: // ETSI TS 102 366, F.6
		dst, box = begin(dst, "dec3")
		dst = end(append(dst, t.Config...), box)
	}
	return end(dst, entry)
}

// sampleSize is 16 bits, a template, but for FLAC, whose own it must be (FLAC in
// ISOBMFF, 3.3.1; Chromium checks).
func sampleSize(t *media.Track) uint16 {
	if t.Codec != media.FLAC || len(t.Config) != media.FLACStreamInfoSize {
		return 16
	}
	return uint16(t.Config[12]&1<<4|t.Config[13]>>4) + 1
}

// appendESDS appends what describes MPEG audio (ISO 14496-14, 5.6), with the
// AudioSpecificConfig if there is one.
func appendESDS(dst []byte, t *media.Track, objectType byte, config []byte) []byte {
	dst, esds := beginFull(dst, "esds", 0, 0)
	info := byte(0)
	if len(config) > 0 {
		info = 2 + byte(len(config))
	}
	dst = append(dst, tagES, 3+2+13+info+3, 0, trackID, 0)
	dst = append(dst, tagDecoderConfig, 13+info, objectType, streamTypeAudio, 0, 0, 0)
	dst = u32s(dst, uint32(max(t.Bitrate, 0)), uint32(max(t.Bitrate, 0))) // maximum, average
	if len(config) > 0 {
		dst = append(append(dst, tagDecoderInfo, byte(len(config))), config...)
	}
	dst = append(dst, tagSyncLayer, 1, syncLayerReserved)
	return end(dst, esds)
}

// opusHeadSize is the length of an identification header without its channel
// mapping, in bytes.
const opusHeadSize = 19

// appendDOps appends an identification header (RFC 7845, 5.1) as its box has
// it: without the magic, of version 0, in network order (Opus in ISOBMFF,
// 4.3.2).
func appendDOps(dst, head []byte) []byte {
	dst, box := begin(dst, "dOps")
	little := binary.LittleEndian
	dst = append(dst, 0, head[9])
	dst = u16s(dst, little.Uint16(head[10:]))
	dst = u32s(dst, little.Uint32(head[12:]))
	dst = u16s(dst, little.Uint16(head[16:]))
	dst = append(dst, head[18])
	if head[18] != 0 { // streams, coupled streams, a byte for each channel
		dst = append(dst, head[opusHeadSize:min(opusHeadSize+2+int(head[9]), len(head))]...)
	}
	return end(dst, box)
}
