package auth

import (
	"net/http"
	"strings"
)

// bearerProtocol begins the subprotocol that a page's WebSocket can bring a token
// in: it can set no header.
const bearerProtocol = "bearer."

// TokenOf returns the token of an HTTP request: of its URL (?token=), else of its
// Authorization (RFC 6750, 2.1), else of a WebSocket's subprotocols.
func TokenOf(r *http.Request) string {
	// Most have none, and parsing the query of each blocking reload is not free.
	if strings.Contains(r.URL.RawQuery, "token") {
		if t := r.URL.Query().Get("token"); t != "" {
			return t
		}
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	for _, offered := range r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(offered, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(p), bearerProtocol); ok {
				return token
			}
		}
	}
	return ""
}
