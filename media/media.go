// Package media says what a codec, a track and a frame are.
package media

import (
	"errors"
	"time"
)

// ErrUnsupportedCodec is wrapped by every error that means "a codec, or a form
// of one, that this server does not carry"; the error's text names the codec.
var ErrUnsupportedCodec = errors.New("unsupported codec")

// ErrBadConfig is wrapped by every error that means "this codec configuration
// is malformed".
var ErrBadConfig = errors.New("malformed codec configuration")

// Kind is what a track holds: pictures, sound or anything else.
type Kind uint8

// The kinds.
const (
	KindVideo Kind = iota + 1
	KindAudio
	KindData
)

// String returns "video", "audio" or "data".
func (k Kind) String() string {
	switch k {
	case KindVideo:
		return "video"
	case KindAudio:
		return "audio"
	case KindData:
		return "data"
	}
	return "unknown"
}

// Codec is how a track is coded.
type Codec uint8

// The codecs. A codec here is one that has a name; whether an ingest or an
// egress carries it is theirs to say.
const (
	H264 Codec = iota + 1
	H265
	AV1
	VP9
	AAC
	Opus
	MP3
	FLAC
	AC3
	EAC3
	// Script is AMF0 script data as RTMP and FLV carry it: a name and values.
	Script
)

var codecNames = [...]struct {
	name string
	kind Kind
}{
	H264: {"H.264", KindVideo}, H265: {"H.265", KindVideo}, AV1: {"AV1", KindVideo}, VP9: {"VP9", KindVideo},
	AAC: {"AAC", KindAudio}, Opus: {"Opus", KindAudio}, MP3: {"MP3", KindAudio},
	FLAC: {"FLAC", KindAudio}, AC3: {"AC-3", KindAudio}, EAC3: {"E-AC-3", KindAudio}, Script: {"script data", KindData},
}

// String returns the codec's usual name: "H.264", "AAC".
func (c Codec) String() string {
	if c == 0 || int(c) >= len(codecNames) {
		return "unknown"
	}
	return codecNames[c].name
}

// Kind returns what a track of this codec holds.
func (c Codec) Kind() Kind {
	if c == 0 || int(c) >= len(codecNames) {
		return 0
	}
	return codecNames[c].kind
}

// Track describes one elementary stream. It is immutable once a frame points
// to it: changed parameters make a new Track with the same ID.
type Track struct {
	// ID is unique among the tracks of a stream and stays over changes of
	// parameters. The lowest ID of a kind is the default track of that kind.
	ID    int
	Codec Codec
	// Config is the codec configuration record, which differs where frames
	// decode differently:
	//
	//	H.264, H.265  avcC, hvcC (ISO 14496-15), for NAL units behind 4-byte sizes
	//	AV1           av1C (AV1 in ISOBMFF, 2.3.3)
	//	VP9           VPCodecConfigurationRecord, what vpcC holds behind version and flags
	//	AAC           AudioSpecificConfig (ISO 14496-3, 1.6.2.1)
	//	Opus          identification header, "OpusHead" included (RFC 7845, 5.1)
	//	FLAC          STREAMINFO block without its header (RFC 9639, 8.2)
	//	AC-3, E-AC-3  what dac3 and dec3 hold (ETSI TS 102 366, F.4 and F.6)
	//	MP3           four bytes of a frame header; see NewMP3Track
	//	script data   nothing
	Config []byte

	// Width and Height are in pixels, after cropping; video only.
	Width, Height int
	// FrameRate is in frames per second, 0 if the stream does not tell.
	FrameRate float64
	// Color is what is known of the colours, nil if that is nothing; video only.
	Color *Color
	// SampleRate is in Hz and Channels a count; audio only.
	SampleRate, Channels int
	// Bitrate is what the encoder announced, in bits per second; 0 if it did not.
	Bitrate int
	// Language is an ISO 639 code, Name a label for people; both may be empty.
	Language, Name string
}

// Kind returns what the track holds.
func (t *Track) Kind() Kind { return t.Codec.Kind() }

// Anchor maps stream time to wall-clock time.
type Anchor struct {
	// Wall is the wall-clock time of stream time zero.
	Wall time.Time
}

// At returns the wall-clock time of the stream time t.
func (a Anchor) At(t time.Duration) time.Time { return a.Wall.Add(t) }

// TrackSet is all tracks of a stream at one time. It is immutable once a frame
// points to it.
type TrackSet struct {
	// Epoch counts the breaks of the stream: it changes when a publisher took
	// over or timestamps were broken, which is a discontinuity to players.
	Epoch uint64
	// Tracks are ordered by ID.
	Tracks []*Track
	// Promised are tracks that the encoder announced and has not sent yet: they
	// have an ID and a codec, and no Config. Of a kind that is in Tracks there is
	// none.
	Promised []*Track
	// Anchor is the clock of this epoch.
	Anchor Anchor
}

// First returns the default track of a kind, nil if there is none. It may be
// called on a nil set.
func (s *TrackSet) First(k Kind) *Track {
	if s == nil {
		return nil
	}
	for _, t := range s.Tracks {
		if t.Kind() == k {
			return t
		}
	}
	return nil
}

// Announced returns the default track of a kind, or the one that is promised
// instead, nil if there is neither. It may be called on a nil set.
func (s *TrackSet) Announced(k Kind) *Track {
	if t := s.First(k); t != nil || s == nil {
		return t
	}
	return (&TrackSet{Tracks: s.Promised}).First(k)
}

// Lookup returns the track with this ID, nil if there is none. It may be
// called on a nil set.
func (s *TrackSet) Lookup(id int) *Track {
	if s == nil {
		return nil
	}
	for _, t := range s.Tracks {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// Frame is one access unit of video, one audio frame, or one data message.
// Once written to a stream it is immutable, Data included.
type Frame struct {
	// Track is what the frame decodes with, Set what the track belongs to.
	Track *Track
	Set   *TrackSet
	// DTS and PTS are the decode and presentation times in stream time; from
	// an encoder connection they are in its own time. PTS >= DTS.
	DTS, PTS time.Duration
	// RandomAccess says that decoding may start here: IDR in H.264, IRAP in
	// H.265, a shown key frame in AV1, a key frame in VP9, every audio frame.
	RandomAccess bool
	// Data is the coded frame: length-prefixed NAL units (4-byte sizes) for
	// H.264 and H.265; for AV1 the OBUs of a temporal unit in the low-overhead
	// format; for VP9 a frame or superframe; for AAC a raw_data_block; for Opus
	// a packet; for FLAC and MP3 a frame; for AC-3 a syncframe, for E-AC-3 the
	// syncframes of all substreams; for Script the AMF0 values.
	Data []byte
	// Arrival is when the frame was complete here.
	Arrival time.Time
}
