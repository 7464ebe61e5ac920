package fmp4

import "github.com/miju-live/miju/media"

// maxAudioConfig keeps every descriptor's size of esds in one byte.
const maxAudioConfig = 64

// appendVisualEntry appends the sample entry of H.264 or H.265 (ISO 14496-12,
// 12.1.3; ISO 14496-15, 5.4.2 and 8.4.1) with the encoder's own record in it.
// H.265 is "hvc1", parameter sets in the record, the one name Apple's players
// accept.
func appendVisualEntry(dst []byte, t *media.Track) []byte {
	entryType, recordType := "avc1", "avcC"
	if t.Codec == media.H265 {
		entryType, recordType = "hvc1", "hvcC"
	}
	dst, entry := begin(dst, entryType)
	dst = zeros(dst, 6)
	dst = u16s(dst, 1)   // data_reference_index
	dst = zeros(dst, 16) // pre_defined, reserved
	dst = u16s(dst, clamp16(t.Width), clamp16(t.Height))
	dst = u32s(dst, 0x00480000, 0x00480000, 0) // 72 dpi, reserved
	dst = u16s(dst, 1)                         // frame_count
	dst = zeros(dst, 32)                       // compressorname
	dst = u16s(dst, 24, 0xffff)                // depth, pre_defined
	dst, record := begin(dst, recordType)
	dst = append(dst, t.Config...)
	dst = end(dst, record)
	return end(dst, entry)
}

// Descriptor tags (ISO 14496-1, table 1).
const (
	tagES             = 3
	tagDecoderConfig  = 4
	tagDecoderInfo    = 5
	tagSyncLayer      = 6
	objectTypeMPEG4   = 0x40 // audio ISO 14496-3 (table 5)
	streamTypeAudio   = 5<<2 | 1
	syncLayerReserved = 2 // predefined: MP4 file
)

// appendMP4A appends the sample entry of AAC (ISO 14496-14, 5.6) with the
// AudioSpecificConfig in it.
func appendMP4A(dst []byte, t *media.Track) []byte {
	dst, entry := begin(dst, "mp4a")
	dst = zeros(dst, 6)
	dst = u16s(dst, 1)  // data_reference_index
	dst = zeros(dst, 8) // reserved
	rate := t.SampleRate
	if rate > 0xffff {
		rate = 0 // does not fit 16.16; the AudioSpecificConfig says it
	}
	dst = u16s(dst, clamp16(t.Channels), 16, 0, 0)
	dst = u32s(dst, uint32(rate)<<16)

	dst, esds := beginFull(dst, "esds", 0, 0)
	n := byte(len(t.Config))
	dst = append(dst, tagES, 3+2+13+2+n+3, 0, trackID, 0)
	dst = append(dst, tagDecoderConfig, 13+2+n, objectTypeMPEG4, streamTypeAudio, 0, 0, 0)
	dst = u32s(dst, uint32(max(t.Bitrate, 0)), uint32(max(t.Bitrate, 0))) // maximum, average
	dst = append(dst, tagDecoderInfo, n)
	dst = append(dst, t.Config...)
	dst = append(dst, tagSyncLayer, 1, syncLayerReserved)
	dst = end(dst, esds)
	return end(dst, entry)
}
