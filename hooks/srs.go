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
	if q.Type == askPlay {
		c.Action = onStop
	}
	body := c.body()
	h.queue.add(entry{stream: q.Stream, opens: &opened{id: c.ClientID, kind: c.Action, body: body}})
	return sync.OnceFunc(func() {
		h.queue.add(entry{stream: q.Stream, kind: c.Action, seal: func(uint64) []byte { return body }, closes: c.ClientID})
	})
}
