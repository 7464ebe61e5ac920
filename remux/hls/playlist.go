package hls

import (
	"strconv"
	"time"
)

// skipTargets is how many target durations before its end a playlist may be
// skipped up to, partTargets for how many it lists parts, and holdTargets how
// far behind its end players without parts stay (RFC 8216bis, 4.4.3.8).
const (
	skipTargets     = 6
	partTargets     = 3
	holdTargets     = 3
	partHoldTargets = 3
)

// appendHeader appends what stands before the first segment.
func (s *segmenter) appendHeader(dst []byte, first *segment) []byte {
	m := s.muxer
	dst = append(dst, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:"...)
	dst = strconv.AppendInt(dst, int64(m.target/time.Second), 10)
	dst = append(dst, "\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL="...)
	dst = appendSeconds(dst, skipTargets*m.target, 1)
	dst = append(dst, ",HOLD-BACK="...)
	dst = appendSeconds(dst, holdTargets*m.target, 1)
	if m.config.Part > 0 {
		dst = append(dst, ",PART-HOLD-BACK="...)
		dst = appendSeconds(dst, partHoldTargets*m.partTarget, 3)
		dst = append(dst, "\n#EXT-X-PART-INF:PART-TARGET="...)
		dst = appendSeconds(dst, m.partTarget, 3)
	}
	if !s.dependent {
		dst = append(dst, "\n#EXT-X-INDEPENDENT-SEGMENTS"...)
	}
	dst = append(dst, "\n#EXT-X-MEDIA-SEQUENCE:"...)
	dst = strconv.AppendInt(dst, first.number, 10)
	sequence := first.sequence
	if first.discontinuity { // the tag is still there
		sequence--
	}
	dst = append(dst, "\n#EXT-X-DISCONTINUITY-SEQUENCE:"...)
	dst = strconv.AppendInt(dst, sequence, 10)
	return append(dst, '\n')
}

// appendPlaylist appends the media playlist, or with skip > 0 its delta
// update, which leaves out so many segments.
func (s *segmenter) appendPlaylist(dst []byte, skip int) []byte {
	listed := s.done[s.listedFrom():]
	open := s.open
	parts := s.muxer.config.Part > 0
	if open != nil && (len(open.parts) == 0 || !parts) {
		open = nil // a tag before no part would belong to nothing
	}
	edge := sum(listed)
	if open != nil {
		edge += open.duration
	}
	dst = s.appendHeader(dst, listed[0])
	if skip > 0 {
		dst = append(dst, "#EXT-X-SKIP:SKIPPED-SEGMENTS="...)
		dst = strconv.AppendInt(dst, int64(skip), 10)
		dst = append(dst, '\n')
	}
	var init *initSection
	for i, seg := range listed {
		if i >= skip {
			if i == skip {
				init = nil // said again behind EXT-X-SKIP, for players that do not look back
			}
			dst = appendHead(dst, seg, init)
			if parts && edge <= partTargets*s.muxer.target {
				dst = append(dst, seg.partLines...)
			}
			dst = append(dst, seg.tail...)
		}
		edge -= seg.duration
		if seg.init != nil {
			init = seg.init
		}
	}
	if open != nil {
		dst = appendHead(dst, open, init)
		dst = append(dst, open.partLines...)
	}
	if s.muxer.ended {
		return append(dst, "#EXT-X-ENDLIST\n"...)
	}
	if parts {
		dst = append(dst, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\""...)
		dst = append(dst, s.hint()...)
		dst = append(dst, "\"\n"...)
	}
	for _, other := range s.muxer.segmenters {
		if other != s && other.listable() {
			dst = other.appendReport(dst)
		}
	}
	return dst
}

// skippable returns how many of the listed segments a delta update leaves out:
// those that end more than the skip boundary before the playlist's end.
func (s *segmenter) skippable() int {
	listed := s.done[s.listedFrom():]
	edge := sum(listed)
	if s.open != nil {
		edge += s.open.duration
	}
	for i, seg := range listed {
		if edge -= seg.duration; edge < skipTargets*s.muxer.target {
			return i
		}
	}
	return len(listed)
}

// appendReport appends where this rendition is, for the playlists of others.
func (s *segmenter) appendReport(dst []byte) []byte {
	number, part := s.last()
	dst = append(dst, "#EXT-X-RENDITION-REPORT:URI=\""...)
	dst = append(dst, s.name...)
	dst = append(dst, ".m3u8\",LAST-MSN="...)
	dst = strconv.AppendInt(dst, number, 10)
	if part >= 0 && s.muxer.config.Part > 0 {
		dst = append(dst, ",LAST-PART="...)
		dst = strconv.AppendInt(dst, int64(part), 10)
	}
	return append(dst, '\n')
}

// last returns the number of the last segment with parts, and its last part;
// that is -1 in a gap.
func (s *segmenter) last() (number int64, part int) {
	if s.open != nil && len(s.open.parts) > 0 {
		return s.open.number, len(s.open.parts) - 1
	}
	seg := s.done[len(s.done)-1]
	return seg.number, len(seg.parts) - 1
}

// hint names the part that comes next.
func (s *segmenter) hint() []byte {
	if s.open == nil {
		return appendPartName(nil, s.name, s.number(), 0)
	}
	return appendPartName(nil, s.name, s.open.number, len(s.open.parts))
}

// appendHead appends what stands before a segment's first part. init is the
// initialization section that the segments before it need.
func appendHead(dst []byte, seg *segment, init *initSection) []byte {
	if seg.discontinuity {
		dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
	}
	if seg.init != nil && (seg.init != init || seg.discontinuity) {
		dst = append(dst, "#EXT-X-MAP:URI=\""...)
		dst = append(dst, seg.init.name...)
		dst = append(dst, "\"\n"...)
	}
	dst = append(dst, "#EXT-X-PROGRAM-DATE-TIME:"...)
	dst = seg.wall.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	return append(dst, '\n')
}

// appendPart appends the line of a part.
func appendPart(dst []byte, rendition string, number int64, index int, p *part) []byte {
	dst = append(dst, "#EXT-X-PART:DURATION="...)
	dst = appendSeconds(dst, p.duration, 5)
	dst = append(dst, ",URI=\""...)
	dst = appendPartName(dst, rendition, number, index)
	dst = append(dst, '"')
	if p.independent {
		dst = append(dst, ",INDEPENDENT=YES"...)
	}
	return append(dst, '\n')
}

// appendSegment appends what stands behind a segment's parts.
func appendSegment(dst []byte, rendition string, seg *segment) []byte {
	if seg.gap {
		dst = append(dst, "#EXT-X-GAP\n"...)
	}
	dst = append(dst, "#EXTINF:"...)
	dst = appendSeconds(dst, seg.duration, 5)
	dst = append(dst, ",\n"...)
	dst = appendSegmentName(dst, rendition, seg.number)
	return append(dst, '\n')
}

func appendSeconds(dst []byte, d time.Duration, decimals int) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', decimals, 64)
}

func sum(segments []*segment) time.Duration {
	var d time.Duration
	for _, s := range segments {
		d += s.duration
	}
	return d
}
