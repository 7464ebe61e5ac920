package hls

import (
	"strconv"
	"time"

	"github.com/miju-live/miju/media"
)

// part is one partial segment (RFC 8216bis, 4.4.4.9): a moof and its mdat.
type part struct {
	data        []byte // nil if its segment is stored
	size        int
	duration    time.Duration
	independent bool
}

// segment is a run of parts. Its bytes are those of its parts. Once whole it
// is immutable and shared by all windows that hold it.
type segment struct {
	number   int64 // media sequence number
	sequence int64 // discontinuity sequence number
	// discontinuity puts EXT-X-DISCONTINUITY before the segment.
	discontinuity bool
	// gap says that the segment has no frame and no file.
	gap bool
	// init is what its parts need to be decoded; nil in a gap.
	init *initSection
	// wall is when its first frame is to be shown, by the stream's anchor.
	wall     time.Time
	duration time.Duration
	parts    []part
	chunks   [][]byte // the parts' bytes, once whole; nil if it is stored
	size     int
	// stored says that the bytes are kept elsewhere.
	stored bool

	// partLines are the EXT-X-PART lines, tail is EXTINF and the URI.
	partLines, tail []byte
}

// initSection is an initialization section, named after the first segment
// that needs it.
type initSection struct {
	name  string
	track *media.Track
	data  []byte
}

const extension = ".mp4"

func appendSegmentName(dst []byte, rendition string, number int64) []byte {
	dst = append(dst, rendition...)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, number, 10)
	return append(dst, extension...)
}

func appendPartName(dst []byte, rendition string, number int64, index int) []byte {
	dst = append(dst, rendition...)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, number, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, int64(index), 10)
	return append(dst, extension...)
}

func initName(rendition string, number int64) string {
	return rendition + "-init-" + strconv.FormatInt(number, 10) + extension
}
