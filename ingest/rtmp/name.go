package rtmp

import (
	"net/url"
	"strings"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// parseName splits what a peer calls its app and its stream into the public key
// and the token: "live" and "alice?token=…", or the token behind the app, or all
// of the path in the app. A wrong key is an error that wraps
// streamkey.ErrInvalid; it shows no token.
func parseName(app, name string) (auth.Request, query, error) {
	app, appQuery, _ := strings.Cut(app, "?")
	name, nameQuery, _ := strings.Cut(name, "?")
	app, name = strings.Trim(app, "/"), strings.TrimLeft(name, "/")
	path := app + "/" + name
	switch {
	case app == "":
		path = name
	case name == "":
		path = app
	}
	q := query{nameQuery, appQuery}
	key, err := streamkey.Parse(path)
	return auth.Request{Key: key, Token: q.value("token"), Query: strings.Trim(nameQuery+"&"+appQuery, "&")}, q, err
}

// query is what stands behind the question marks of a name and of its app.
type query [2]string

// value reads a value, "" if there is none; the name's comes before the app's.
// A '+' stays one, as in base64, and what is no right escape is taken as it is:
// encoders pass on what was typed.
func (q query) value(name string) string {
	for _, behind := range q {
		for part := range strings.SplitSeq(behind, "&") {
			value, ok := strings.CutPrefix(part, name+"=")
			if !ok || value == "" {
				continue
			}
			if s, err := url.PathUnescape(value); err == nil {
				return s
			}
			return value
		}
	}
	return ""
}
