package srt

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/streamkey"
)

// maxStreamID is what SRT allows, in bytes.
const maxStreamID = 512

// standardForm begins a stream ID of keys and values (SRT access control).
const standardForm = "#!::"

// feedbackPlay is what some encoders hang behind any ID.
const feedbackPlay = "#feedbackplay"

// errMode is wrapped, beside ingest.ErrBadRequest, by errors that mean "no
// caller can be served in this mode".
var errMode = errors.New("the stream ID's mode is neither publish nor request")

// errType is the same of the type, of which only stream is served.
var errType = errors.New("the stream ID's type is not stream")

// parseStreamID reads what a caller asks for:
//
//	#!::r=live/alice,m=publish,token=secret  keys in any order, values percent-encoded, others ignored
//	publish:live/alice?token=secret          also read:, request: and play:
//	publish:live/alice:user:secret           and a query behind one more colon, or instead of user and secret
//	live/alice?token=secret                  publish, as encoders mean that know no more
//
// Errors wrap streamkey.ErrInvalid or ingest.ErrBadRequest and hold no token.
func parseStreamID(s string) (auth.Request, error) {
	switch {
	case s == "":
		return auth.Request{}, fmt.Errorf("%w: no stream ID; the encoder must send one such as publish:live/name", ingest.ErrBadRequest)
	case len(s) > maxStreamID:
		return auth.Request{}, fmt.Errorf("%w: a stream ID of %d bytes, %d are allowed", ingest.ErrBadRequest, len(s), maxStreamID)
	case !utf8.ValidString(s):
		return auth.Request{}, fmt.Errorf("%w: the stream ID is not UTF-8", ingest.ErrBadRequest)
	}
	s = strings.TrimSuffix(unescapeWhole(strings.TrimSuffix(s, feedbackPlay)), feedbackPlay)
	if keys, ok := strings.CutPrefix(s, standardForm); ok {
		return parseKeys(keys)
	}
	if strings.HasPrefix(s, "#!") {
		return auth.Request{}, fmt.Errorf("%w: the stream ID begins with #! but not with %s", ingest.ErrBadRequest, standardForm)
	}
	return parsePlain(s)
}

// unescapeWhole undoes the percent-encoding of an ID that none of its marks
// survived: ffmpeg and srt-live-transmit send the ID as it stands in their URL.
func unescapeWhole(s string) string {
	if strings.ContainsAny(s, "/:?=,") {
		// In a URL at least the # must be encoded.
		if rest, ok := strings.CutPrefix(s, "%23!"); ok {
			return "#!" + rest
		}
		return s
	}
	if whole, err := url.PathUnescape(s); err == nil {
		return whole
	}
	return s
}

// parseKeys reads the standard form behind its beginning. The secret may also
// be under s, which the standard means for a session and others fill with a
// password.
func parseKeys(s string) (auth.Request, error) {
	values := map[string]string{"m": "request", "t": "stream"}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "r", "m", "t", "s", "token":
		default:
			continue
		}
		if seen[key] {
			return auth.Request{}, fmt.Errorf("%w: the stream ID has %s twice", ingest.ErrBadRequest, key)
		}
		seen[key] = true
		value, err := url.PathUnescape(value)
		if err != nil {
			return auth.Request{}, fmt.Errorf("%w: broken percent-encoding of %s in the stream ID", ingest.ErrBadRequest, key)
		}
		values[key] = value
	}
	action, err := actionOf(values["m"])
	if err != nil {
		return auth.Request{}, err
	}
	if values["t"] != "stream" {
		return auth.Request{}, fmt.Errorf("%w: %w", ingest.ErrBadRequest, errType)
	}
	r, err := parseResource(values["r"])
	r.Action = action
	r.Token = cmp.Or(values["token"], r.Token, values["s"])
	return r, err
}

func parsePlain(s string) (auth.Request, error) {
	mode, resource := "publish", s
	if i := colon(s); i >= 0 {
		mode, resource = s[:i], s[i+1:]
	}
	action, err := actionOf(mode)
	if err != nil {
		return auth.Request{}, err
	}
	var password string
	if i := colon(resource); i >= 0 {
		resource, password = colonForm(resource[:i], resource[i+1:])
	}
	r, err := parseResource(resource)
	r.Action = action
	r.Token = cmp.Or(r.Token, password)
	return r, err
}

// colon finds the first colon that is not part of a query.
func colon(s string) int {
	path, _, _ := strings.Cut(s, "?")
	return strings.IndexByte(path, ':')
}

// colonForm reads what stands behind the name and a colon: a query, or a user
// (who is not asked for), a password, and a query. The password is meant as it
// is written.
func colonForm(name, s string) (resource, password string) {
	query := s
	if parts := strings.SplitN(s, ":", 3); len(parts) > 1 {
		password, query = parts[1], strings.Join(parts[2:], "")
	}
	if query != "" {
		name += "?" + query
	}
	return name, password
}

func actionOf(mode string) (auth.Action, error) {
	switch mode {
	case "publish":
		return auth.Publish, nil
	case "request", "read", "play":
		return auth.Play, nil
	}
	return 0, fmt.Errorf("%w: %w", ingest.ErrBadRequest, errMode)
}

// parseResource reads app/name and a query behind it.
func parseResource(s string) (r auth.Request, err error) {
	path, query, _ := strings.Cut(s, "?")
	if path, err = url.PathUnescape(path); err != nil {
		return r, fmt.Errorf("%w: broken percent-encoding of the name in the stream ID", ingest.ErrBadRequest)
	}
	if name, encoded, ok := strings.Cut(path, "?"); ok { // written %3F
		path, query = name, encoded
	}
	if r.Key, err = streamkey.Parse(strings.TrimPrefix(path, "/")); err != nil {
		return r, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return r, fmt.Errorf("%w: broken query in the stream ID", ingest.ErrBadRequest)
	}
	r.Token, r.Query = values.Get("token"), query
	return r, nil
}
