package mpegts

import (
	"fmt"
	"iter"
	"strings"

	"github.com/miju-live/miju/media"
)

// Stream types that are carried (ISO 13818-1, table 2-34).
const (
	streamTypeAAC  = 0x0f
	streamTypeH264 = 0x1b
	streamTypeH265 = 0x24
)

// streamTypePrivate is PES of private data: descriptors tell what it is.
const streamTypePrivate = 0x06

// codec returns what a stream holds, by its type and descriptors; false if that
// is not carried.
func (e *esInfo) codec() (media.Codec, bool) {
	switch e.streamType {
	case streamTypeAAC:
		return media.AAC, true
	case streamTypeH264:
		return media.H264, true
	case streamTypeH265:
		return media.H265, true
	case streamTypeMP3, streamTypeMP3Half:
		return media.MP3, true
	case streamTypeAC3:
		return media.AC3, true
	case streamTypeEAC3:
		return media.EAC3, true
	case streamTypePrivate:
		return e.privateCodec()
	}
	return 0, false
}

// privateCodec goes by the descriptors of private data.
func (e *esInfo) privateCodec() (media.Codec, bool) {
	for tag, body := range e.all() {
		switch {
		case tag == tagAC3:
			return media.AC3, true
		case tag == tagEAC3:
			return media.EAC3, true
		case tag == tagRegistration && len(body) >= 4:
			switch string(body[:4]) {
			case "Opus":
				return media.Opus, true
			case "AC-3":
				return media.AC3, true
			case "EAC3":
				return media.EAC3, true
			}
		}
	}
	return 0, false
}

// opusChannels returns the channels that Opus's extension descriptor tells, 2
// if it does not.
func (e *esInfo) opusChannels() int {
	for tag, body := range e.all() {
		if tag == tagExtension && len(body) >= 2 && body[0] == extensionOpus && body[1] >= 1 && body[1] <= 8 {
			return int(body[1])
		}
	}
	return 2
}

// language returns what the language descriptor says first (ISO 13818-1,
// 2.6.18), a code of ISO 639-2; "" if it says nothing.
func (e *esInfo) language() string {
	for tag, body := range e.all() {
		if tag != tagLanguage || len(body) < 4 {
			continue
		}
		code := strings.ToLower(string(body[:3]))
		if strings.Trim(code, "abcdefghijklmnopqrstuvwxyz") == "" && code != "und" {
			return code
		}
	}
	return ""
}

// all walks the descriptors.
func (e *esInfo) all() iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for d := e.descriptors; len(d) >= 2 && int(d[1]) <= len(d)-2; d = d[2+int(d[1]):] {
			if !yield(d[0], d[2:2+int(d[1])]) {
				return
			}
		}
	}
}

// streamTypeNames names what is left out, for the person who sent it: ISO
// 13818-1, table 2-34, and from 0x80 on the uses of ATSC, SCTE and the industry.
var streamTypeNames = map[uint8]string{
	0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x03: "MPEG-1 audio", 0x04: "MPEG-2 audio",
	0x05: "private sections", streamTypePrivate: "private data", 0x10: "MPEG-4 Visual video", 0x11: "AAC in LATM",
	0x15: "metadata", 0x1c: "raw MPEG-4 audio", 0x20: "H.264 MVC video", 0x21: "JPEG 2000 video",
	0x33: "H.266 video", 0x42: "AVS video", 0x80: "PCM audio", 0x81: "AC-3 audio", 0x82: "DTS audio",
	0x83: "TrueHD audio", 0x86: "SCTE-35 cues", 0x87: "E-AC-3 audio", 0xd2: "AVS2 video", 0xea: "VC-1 video",
}

// Tags of descriptors that name private data (ISO 13818-1, 2.6; EN 300 468, 6.1).
var descriptorNames = map[uint8]string{
	0x45: "VBI data", 0x46: "VBI teletext", 0x56: "teletext", 0x59: "DVB subtitles",
	0x6a: "AC-3 audio", 0x7a: "E-AC-3 audio", 0x7b: "DTS audio",
}

// format_identifiers of registration descriptors (ISO 13818-1, 2.6.8).
var registrationNames = map[string]string{
	"AC-3": "AC-3 audio", "EAC3": "E-AC-3 audio", "Opus": "Opus audio", "AV01": "AV1 video",
	"VP09": "VP9 video", "BSSD": "PCM audio", "KLVA": "KLV metadata", "HEVC": "H.265 video as private data",
}

// name returns what a stream holds, such as "MPEG-2 video (0x02)".
func (e *esInfo) name() string {
	name := streamTypeNames[e.streamType]
	if e.streamType == streamTypePrivate {
		for tag, body := range e.all() {
			if n := descriptorNames[tag]; n != "" {
				name = n
			} else if tag == tagRegistration && len(body) >= 4 {
				if n := registrationNames[string(body[:4])]; n != "" {
					name = n
				}
			}
		}
	}
	if name == "" {
		name = "unknown stream type"
	}
	return fmt.Sprintf("%s (0x%02x)", name, e.streamType)
}
