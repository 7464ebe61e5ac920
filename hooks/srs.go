package hooks

import (
	"encoding/json"
	"net/url"
	"strings"
	"sync"
)

// The callbacks of SRS that are spoken.
const (
	onPublish   = "on_publish"
	onUnpublish = "on_unpublish"
	onPlay      = "on_play"
	onStop      = "on_stop"
)

// maxCredential bounds what stands in param, in bytes of JSON: it is kept on the
// disk until the end was told.
const maxCredential = 4096

// tooLong reports whether a peer brings more.
func (q *question) tooLong() bool {
	if len(q.Query)+len(q.Token) > 2*maxCredential { // it may be in both
		return true
	}
	b, err := json.Marshal(param(q))
	return err != nil || len(b) > maxCredential
}

// isSRS reports whether something to tell is one of these.
func isSRS(kind string) bool { return strings.HasPrefix(kind, "on_") }

// callback is what SRS posts, with its names.
type callback struct {
	ServerID  string `json:"server_id"`
	ServiceID string `json:"service_id"`
	Action    string `json:"action"`
	ClientID  string `json:"client_id"`
	IP        string `json:"ip"`
	VHost     string `json:"vhost"`
	App       string `json:"app"`
	TCURL     string `json:"tcUrl"`
	Stream    string `json:"stream"`
	Param     string `json:"param"`
	// PageURL is in on_play only.
	PageURL   *string `json:"pageUrl,omitempty"`
	StreamURL string  `json:"stream_url"`
	StreamID  string  `json:"stream_id"`
}

// defaultVHost is what SRS calls the host of a server without virtual hosts.
const defaultVHost = "__defaultVhost__"

// callbackOf asks in SRS's words.
func callbackOf(q *question) callback {
	app, name, _ := strings.Cut(q.Stream, "/")
	c := callback{
		ServerID: q.Server, ServiceID: q.Server, Action: onPublish, ClientID: q.Session, IP: q.Address, VHost: defaultVHost,
		App: app, TCURL: "rtmp://" + defaultVHost + "/" + app, Stream: name, Param: param(q),
		StreamURL: "/" + q.Stream, StreamID: q.Stream,
	}
	if q.Type == askPlay {
		c.Action, c.PageURL = onPlay, new(string)
	}
	return c
}

// param is the query as a peer of SRS brings it. A token that came elsewhere,
// as in a stream ID, joins it.
func param(q *question) string {
	query := q.Query
	if values, _ := url.ParseQuery(query); q.Token != "" && values.Get("token") == "" {
		query = strings.Trim(query+"&token="+url.QueryEscape(q.Token), "&")
	}
	if query == "" {
		return ""
	}
	return "?" + query
}

func (c callback) body() []byte {
	b, err := json.Marshal(c)
	if err != nil { // of texts alone none comes
		return nil
	}
	return b
}

// open remembers who was let in, so that its end is told even if this server is not
// there any more, and returns what tells it.
func (h *Hooks) open(q *question) func() {
	c := callbackOf(q)
	c.PageURL = nil
	c.Action = onUnpublish
	begun := entry{stream: q.Stream}
	if q.Type == askPlay {
		c.Action = onStop
		begun = entry{stream: ofPlayers + q.Stream, rank: rankPlayer}
	}
	body := c.body()
	over := begun
	begun.opens = &opened{id: c.ClientID, kind: c.Action, body: body}
	over.kind, over.seal, over.closes = c.Action, func(uint64) []byte { return body }, c.ClientID
	h.queue.add(begun)
	return sync.OnceFunc(func() { h.queue.add(over) })
}

// ofPlayers stands before the stream of what is told of its players, which has an
// order of its own: whoever comes and goes in a loop must not keep back that its
// publisher has gone.
const ofPlayers = "players of "
