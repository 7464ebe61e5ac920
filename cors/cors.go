// Package cors tells browsers which web pages may use what a server offers.
package cors

import (
	"net/http"
	"slices"
	"strings"
)

// Pages are the origins (RFC 6454) whose pages may. Nothing that is offered to
// pages goes by a cookie, so credentials are never allowed and "*" is safe.
type Pages struct {
	listed []string
	all    bool
}

// Parse reads "*" for all pages, or a list of origins or of hosts like
// "https://a.example, b.example". The server's own pages always may.
func Parse(list string) Pages {
	var p Pages
	for o := range strings.SplitSeq(list, ",") {
		if o = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(o)), "/"); o != "" {
			p.listed = append(p.listed, o)
		}
	}
	p.all = slices.Contains(p.listed, "*")
	return p
}

// All reports whether every page may, and all are answered alike.
func (p *Pages) All() bool { return p.all }

// Connects reports whether a page of origin may open a WebSocket at host. A
// browser says the origin with each, and asks no server for leave. What is no
// browser says none.
func (p *Pages) Connects(origin, host string) bool {
	if origin == "" || p.all {
		return true
	}
	origin = strings.ToLower(origin)
	_, page, _ := strings.Cut(origin, "://")
	return page == strings.ToLower(host) || p.has(origin)
}

func (p *Pages) has(origin string) bool {
	origin = strings.ToLower(origin)
	_, host, ok := strings.Cut(origin, "://")
	return slices.Contains(p.listed, origin) || ok && slices.Contains(p.listed, host)
}

// Values of headers, shared by all answers.
var (
	everyOrigin = []string{"*"}
	varyOrigin  = []string{"Origin"}
	exposed     = []string{"Age, Content-Length, Content-Range, Date, Retry-After"}
)

const methods = "GET, HEAD, OPTIONS"

// Answer says in h what a page may do that sent r (Fetch, 3.3). Its headers are
// the same for every page, or Vary says that they are not.
func (p *Pages) Answer(h http.Header, r *http.Request) {
	allowed := p.all
	if p.all {
		h["Access-Control-Allow-Origin"] = everyOrigin
	} else {
		h["Vary"] = varyOrigin
		if o := r.Header.Get("Origin"); o != "" && p.has(o) {
			h.Set("Access-Control-Allow-Origin", o)
			allowed = true
		}
	}
	if r.Method != http.MethodOptions {
		h["Access-Control-Expose-Headers"] = exposed
		return
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", headers(r.Header.Get("Access-Control-Request-Headers")))
	h.Set("Access-Control-Max-Age", "86400")
	if allowed && r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
}

// Preflight answers OPTIONS.
func (p *Pages) Preflight(w http.ResponseWriter) {
	w.Header().Set("Allow", methods)
	w.WriteHeader(http.StatusNoContent)
}

// maxNames bounds the names in a preflight request, in bytes.
const maxNames = 1024

// headers answers which headers a page may send: all that it asks for, for
// players add their own (CMCD, tokens) and nothing here is decided by one.
func headers(asked string) string {
	isName := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_, ", c)
	}
	if asked == "" || len(asked) > maxNames || strings.TrimFunc(asked, isName) != "" {
		return "Range, If-None-Match, Authorization"
	}
	return asked
}
