package srt

import (
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

// parseStreamID reads what a caller asks for:
//
//	#!::r=live/alice,m=publish,token=secret  keys in any order, values percent-encoded, others ignored
//	publish:live/alice?token=secret          also read:, request: and play:
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
	s = unescapeWhole(s)
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

// parseKeys reads the standard form behind its beginning.
func parseKeys(s string) (auth.Request, error) {
	values := map[string]string{"m": "request"}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(pair, "=")
		if key != "r" && key != "m" && key != "token" {
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
	r, err := parseResource(values["r"])
	r.Action = action
	if values["token"] != "" {
		r.Token = values["token"]
	}
	return r, err
}

func parsePlain(s string) (auth.Request, error) {
	mode, resource := "publish", s
	path, _, _ := strings.Cut(s, "?")
	if i := strings.IndexByte(path, ':'); i >= 0 {
		mode, resource = s[:i], s[i+1:]
	}
	action, err := actionOf(mode)
	if err != nil {
		return auth.Request{}, err
	}
	r, err := parseResource(resource)
	r.Action = action
	return r, err
}

func actionOf(mode string) (auth.Action, error) {
	switch mode {
	case "publish":
		return auth.Publish, nil
	case "request", "read", "play":
		return auth.Play, nil
	}
	return 0, fmt.Errorf("%w: the stream ID's mode is neither publish nor request", ingest.ErrBadRequest)
}

// parseResource reads app/name and a query behind it.
func parseResource(s string) (r auth.Request, err error) {
	path, query, _ := strings.Cut(s, "?")
	// Other servers take publish:path:user:password: what stands behind a
	// colon may be a secret and is not repeated in an error.
	if strings.ContainsRune(path, ':') {
		return r, fmt.Errorf("%w: a colon behind the name; the token goes into ?token=", streamkey.ErrInvalid)
	}
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
	r.Token = values.Get("token")
	return r, nil
}
