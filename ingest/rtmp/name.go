package rtmp

import (
	"net/url"
	"strings"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// parseName splits what an encoder calls its app and its stream into the
// public key and the token: "live" and "alice?token=…", or the token behind
// the app, or all of the path in the app. A wrong key is an error that wraps
// streamkey.ErrInvalid; it shows no token.
func parseName(app, name string) (auth.Request, error) {
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
	token := queryToken(nameQuery)
	if token == "" {
		token = queryToken(appQuery)
	}
	key, err := streamkey.Parse(path)
	return auth.Request{Key: key, Token: token}, err
}

// queryToken reads the token of a query. A '+' stays one, as in base64, and
// what is no right escape is taken as it is: encoders pass on what was typed.
func queryToken(query string) string {
	for part := range strings.SplitSeq(query, "&") {
		value, ok := strings.CutPrefix(part, "token=")
		if !ok {
			continue
		}
		if s, err := url.PathUnescape(value); err == nil {
			return s
		}
		return value
	}
	return ""
}
