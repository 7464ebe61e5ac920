package origin

import (
	"errors"
	"strconv"
	"strings"
)

// directives are the delivery directives of a playlist request (RFC 8216bis,
// 6.2.5).
type directives struct {
	// any says that there is a delivery directive at all.
	any bool
	// msn is the media sequence number to wait for, -1 if none; part is the
	// part of it, -1 for the whole segment.
	msn  int64
	part int
	// skip asks for a delta update.
	skip bool
}

// block reports whether the answer may have to wait.
func (d directives) block() bool { return d.msn >= 0 }

// maxDirective bounds the numbers of a directive, in digits: they stay far
// from overflow.
const maxDirective = 15

var errDirective = errors.New("bad delivery directive")

// parseDirectives reads a query. Other parameters are none of its business.
// Errors are errDirective with what is wrong.
func parseDirectives(query string) (directives, error) {
	d := directives{msn: -1, part: -1}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "_HLS_") {
			continue
		}
		d.any = true
		switch name {
		case "_HLS_msn":
			n, ok := directiveNumber(value)
			if !ok || d.msn >= 0 {
				return d, badDirective(name, "must be one whole number")
			}
			d.msn = n
		case "_HLS_part":
			n, ok := directiveNumber(value)
			if !ok || d.part >= 0 || n > 1e6 {
				return d, badDirective(name, "must be one whole number")
			}
			d.part = int(n)
		case "_HLS_skip":
			if value != "YES" && value != "v2" {
				return d, badDirective(name, "must be YES or v2")
			}
			d.skip = true
		}
	}
	if d.part >= 0 && d.msn < 0 {
		return d, badDirective("_HLS_part", "needs _HLS_msn")
	}
	return d, nil
}

func directiveNumber(s string) (int64, bool) {
	if s == "" || len(s) > maxDirective || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

type directiveError struct{ name, fault string }

func badDirective(name, fault string) error { return &directiveError{name, fault} }

func (e *directiveError) Error() string { return e.name + " " + e.fault }
func (e *directiveError) Unwrap() error { return errDirective }
