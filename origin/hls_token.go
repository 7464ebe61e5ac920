package origin

import (
	"bytes"
	"net/http"
	"strconv"
)

// maxToken bounds a token that is put into playlists, in bytes as it stands
// there: it is repeated for each of their hundreds of URIs.
const maxToken = 4096

// servePersonal answers a playlist with the request's token, or signature, in its URIs, for
// players do not hand a query on from a playlist to what it lists. Nobody else
// may get that answer, and a cache whose key has no token must not keep one
// without it either: none that could be had with a token is shared.
func (h *hlsOrigin) servePersonal(w http.ResponseWriter, r *http.Request, l *playlist, credentials string) {
	header := w.Header()
	if len(credentials) > maxToken+len("token=") {
		header.Del("Cache-Control")
		h.server.fail(w, http.StatusBadRequest, "bad_token", "the token is too long to be put into a playlist")
		return
	}
	body := appendWithQuery(make([]byte, 0, 2*len(l.plain)), l.plain, credentials)
	if acceptsGzip(r.Header) {
		header["Content-Encoding"] = encodingGzip
		body = compress(body)
	}
	h.send(w, r, []string{strconv.Itoa(len(body))}, body)
}

// appendWithQuery appends a playlist with a query behind each of its URIs,
// which are whole lines (RFC 8216bis, 4.1) and the values of URI attributes
// (4.2).
func appendWithQuery(dst, playlist []byte, query string) []byte {
	for line := range bytes.Lines(playlist) {
		text := bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case bytes.HasPrefix(text, []byte("#EXT")):
			dst = appendTagWithQuery(dst, text, query)
		case len(text) > 0 && text[0] != '#':
			dst = appendURI(dst, text, query)
		default:
			dst = append(dst, text...)
		}
		dst = append(dst, line[len(text):]...)
	}
	return dst
}

// appendTagWithQuery appends a tag. A quoted value may hold anything but a
// quote, also what looks like an attribute: every other quote opens one.
func appendTagWithQuery(dst, tag []byte, query string) []byte {
	isURI := false
	for i := 0; ; i++ {
		text, rest, more := bytes.Cut(tag, []byte{'"'})
		switch {
		case i%2 == 0:
			dst = append(dst, text...)
			isURI = bytes.HasSuffix(text, []byte(",URI=")) || bytes.HasSuffix(text, []byte(":URI="))
		case isURI && more:
			dst = appendURI(dst, text, query)
		default:
			dst = append(dst, text...)
		}
		if !more {
			return dst
		}
		dst = append(dst, '"')
		tag = rest
	}
}

func appendURI(dst, uri []byte, query string) []byte {
	mark := byte('?')
	if bytes.IndexByte(uri, '?') >= 0 {
		mark = '&'
	}
	return append(append(append(dst, uri...), mark), query...)
}
