package hls

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/bluenviron/gohlslib/v2/pkg/playlist"

	"github.com/miju-live/miju/media"
)

var kinds = [...]media.Kind{media.KindVideo, media.KindAudio}

const audioGroup = "audio"

// renderMultivariant returns the multivariant playlist: one variant, the video
// with the audio beside it, or the audio alone.
func (m *Muxer) renderMultivariant() []byte {
	p := playlist.Multivariant{Version: 9}
	v := &playlist.MultivariantVariant{}
	average := 0
	for _, s := range m.segmenters {
		if !s.listable() {
			continue
		}
		uri := m.config.Prefix + s.name + ".m3u8"
		t := s.init.track
		if codecs := t.CodecString(); codecs != "" {
			v.Codecs = append(v.Codecs, codecs)
		}
		v.Bandwidth += s.peak
		if s.measured > 0 {
			average += bitRate(s.bytes, s.measured)
		}
		if v.URI != "" {
			v.Audio = audioGroup
			p.Renditions = append(p.Renditions, audioRendition(t, uri))
			continue
		}
		v.URI = uri
		if t.Width > 0 && t.Height > 0 {
			v.Resolution = strconv.Itoa(t.Width) + "x" + strconv.Itoa(t.Height)
		}
		if s.kind == media.KindVideo && s.frameRate > 0 {
			v.FrameRate = &s.frameRate
		}
	}
	v.AverageBandwidth = &average
	p.Variants = append(p.Variants, v)
	b, err := p.Marshal()
	if err != nil { // it has no way to fail
		return nil
	}
	return b
}

func audioRendition(t *media.Track, uri string) *playlist.MultivariantRendition {
	r := &playlist.MultivariantRendition{
		Type: playlist.MultivariantRenditionTypeAudio, GroupID: audioGroup, Name: quotable(t.Name),
		Language: quotable(t.Language), Autoselect: true, Default: true, URI: &uri,
	}
	if r.Name == "" {
		r.Name = "Audio"
	}
	if t.Channels > 0 {
		n := strconv.Itoa(t.Channels)
		r.Channels = &n
	}
	return r
}

// maxLabel bounds a name that an encoder gave, in bytes.
const maxLabel = 64

// quotable makes an encoder's text fit for a quoted string (RFC 8216, 4.2).
func quotable(s string) string {
	if len(s) > maxLabel {
		s = s[:maxLabel]
	}
	return strings.Map(func(r rune) rune {
		if r == '"' || r == unicode.ReplacementChar || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}
