package client

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// target is where a client goes and what it asks for there.
type target struct {
	secure           bool
	address, host    string
	app, name, tcURL string
	stream           uint32 // the message stream, once it is open
}

// parseURL splits a URL: its last segment, with the query, is the stream's
// name, what stands before it the app.
func parseURL(s string) (target, error) {
	u, err := url.Parse(s)
	if err != nil {
		return target{}, fmt.Errorf("RTMP URL: %w", errWithoutURL(err))
	}
	port := "1935"
	switch u.Scheme {
	case "rtmp":
	case "rtmps":
		port = "443"
	default:
		return target{}, fmt.Errorf("RTMP URL begins with %q, it must be rtmp or rtmps", u.Scheme)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if u.Hostname() == "" {
		return target{}, fmt.Errorf("RTMP URL without a host")
	}
	app, name := strings.Trim(u.Path, "/"), ""
	if i := strings.LastIndexByte(app, '/'); i >= 0 {
		app, name = app[:i], app[i+1:]
	}
	if app == "" {
		return target{}, fmt.Errorf("RTMP URL without an app: it must be like rtmp://host/app/name")
	}
	t := target{secure: u.Scheme == "rtmps", host: u.Hostname(), address: net.JoinHostPort(u.Hostname(), port), app: app, name: name}
	if u.RawQuery != "" {
		t.name += "?" + u.RawQuery
	}
	t.tcURL = u.Scheme + "://" + u.Host + "/" + app
	return t, nil
}

// errWithoutURL is why a URL is wrong, without the URL, in which there may be
// a token.
func errWithoutURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}
