package hls

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/miju-live/miju/media"
)

const audioGroup = "audio"

// renderMultivariant returns the multivariant playlist: a variant for each
// picture, each with all sounds beside it, or one of the sounds alone.
func (m *Muxer) renderMultivariant() []byte {
	var video, audio []*segmenter
	now := m.cuts[len(m.cuts)-1].layout
	for _, s := range m.segmenters {
		switch {
		case !s.listable():
		case now.named(s.name) == nil: // it has gaps only: who begins now would wait for it
		case s.kind == media.KindVideo:
			video = append(video, s)
		default:
			audio = append(audio, s)
		}
	}
	dst := []byte("#EXTM3U\n#EXT-X-VERSION:9\n\n")
	alone := len(video) == 0
	var sound *variant
	if !alone || len(audio) > 1 {
		sound = soundOf(audio)
		labels := map[string]bool{}
		for i, s := range audio {
			dst = m.appendAudio(dst, s, labels, i == 0, alone && i == 0)
		}
		if len(audio) > 0 {
			dst = append(dst, '\n')
		}
	}
	if alone {
		video = audio[:min(1, len(audio))]
	}
	for _, s := range video {
		v := variantOf(s)
		if alone && sound != nil {
			v = *sound
		} else if sound != nil {
			v.add(sound)
		}
		dst = m.appendVariant(dst, s, &v, sound != nil)
	}
	return dst
}

// variant is what a player needs for pictures and sound together.
type variant struct {
	codecs        []string
	peak, average int // bits per second
}

func variantOf(s *segmenter) variant {
	v := variant{peak: s.peak}
	if codecs := s.init.track.CodecString(); codecs != "" {
		v.codecs = []string{codecs}
	}
	if s.measured > 0 {
		v.average = bitRate(s.bytes, s.measured)
	}
	return v
}

// add adds what plays at the same time.
func (v *variant) add(w *variant) {
	v.codecs = append(v.codecs, w.codecs...)
	v.peak += w.peak
	v.average += w.average
}

// soundOf returns what the most demanding of several sounds, of which one
// plays, needs, in all their codecs; nil if there is none.
func soundOf(audio []*segmenter) *variant {
	if len(audio) == 0 {
		return nil
	}
	var all variant
	for _, s := range audio {
		v := variantOf(s)
		all.peak, all.average = max(all.peak, v.peak), max(all.average, v.average)
		for _, c := range v.codecs {
			if !slices.Contains(all.codecs, c) {
				all.codecs = append(all.codecs, c)
			}
		}
	}
	return &all
}

// appendVariant appends EXT-X-STREAM-INF (RFC 8216bis, 4.4.6.2).
func (m *Muxer) appendVariant(dst []byte, s *segmenter, v *variant, grouped bool) []byte {
	t := s.init.track
	dst = append(dst, "#EXT-X-STREAM-INF:BANDWIDTH="...)
	dst = strconv.AppendInt(dst, int64(v.peak), 10)
	dst = append(dst, ",AVERAGE-BANDWIDTH="...)
	dst = strconv.AppendInt(dst, int64(v.average), 10)
	dst = append(dst, `,CODECS="`...)
	dst = append(dst, strings.Join(v.codecs, ",")...)
	dst = append(dst, '"')
	if s.kind == media.KindVideo {
		if t.Width > 0 && t.Height > 0 {
			dst = append(dst, ",RESOLUTION="...)
			dst = strconv.AppendInt(dst, int64(t.Width), 10)
			dst = append(dst, 'x')
			dst = strconv.AppendInt(dst, int64(t.Height), 10)
		}
		if s.frameRate > 0 {
			dst = append(dst, ",FRAME-RATE="...)
			dst = strconv.AppendFloat(dst, s.frameRate, 'f', 3, 64)
		}
		if r := videoRange(t.Color); r != "" {
			dst = append(dst, ",VIDEO-RANGE="...)
			dst = append(dst, r...)
		}
	}
	if grouped {
		dst = append(dst, `,AUDIO="`+audioGroup+`"`...)
	}
	dst = append(dst, '\n')
	dst = append(dst, m.config.Prefix...)
	dst = append(dst, s.name...)
	return append(dst, ".m3u8\n"...)
}

// videoRange is what VIDEO-RANGE says of a track's colours, empty where they
// are not told.
func videoRange(c *media.Color) string {
	switch {
	case c == nil || c.Transfer == 0:
		return ""
	case c.Transfer == media.TransferPQ:
		return "PQ"
	case c.Transfer == media.TransferHLG:
		return "HLG"
	}
	return "SDR"
}

// appendAudio appends EXT-X-MEDIA (RFC 8216bis, 4.4.6.1). labels holds the names
// and languages that are taken: names must differ, and players choose by
// themselves between different languages only. inVariant says that the variant
// itself is this rendition.
func (m *Muxer) appendAudio(dst []byte, s *segmenter, labels map[string]bool, first, inVariant bool) []byte {
	t := s.init.track
	language := quotable(t.Language)
	name := quotable(t.Name)
	for _, other := range []string{language, "Audio"} {
		if name == "" {
			name = other
		}
	}
	for n, base := 2, name; labels["name "+name]; n++ {
		name = base + " " + strconv.Itoa(n)
	}
	auto := first || language != "" && !labels["language "+language]
	labels["name "+name], labels["language "+language] = true, true
	dst = append(dst, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="`+audioGroup+`"`...)
	if language != "" {
		dst = append(dst, `,LANGUAGE="`+language+`"`...)
	}
	dst = append(dst, `,NAME="`+name+`"`...)
	if auto {
		dst = append(dst, ",AUTOSELECT=YES"...)
	}
	if first {
		dst = append(dst, ",DEFAULT=YES"...)
	}
	if t.Channels > 0 {
		dst = append(dst, `,CHANNELS="`...)
		dst = strconv.AppendInt(dst, int64(t.Channels), 10)
		dst = append(dst, '"')
	}
	if !inVariant {
		dst = append(dst, `,URI="`+m.config.Prefix+s.name+`.m3u8"`...)
	}
	return append(dst, '\n')
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
