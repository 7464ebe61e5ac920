package hooks

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is what an operator sets of the application.
type Config struct {
	URL     string        `flag:"hook" group:"auth" help:"URL of the application, which is asked and told by POST; or several like publish=URL,play=URL,events=URL (docs/webhooks.md). Empty: none is"`
	Style   string        `flag:"hook-style" group:"auth" help:"what --hook speaks: miju, or srs for backends of SRS (on_publish, on_unpublish, on_play, on_stop)"`
	Decides string        `flag:"hook-decides" group:"auth" help:"what --hook is asked about once the door lets somebody pass: publish, play, join and message (of a chat), with commas. Where --publish-auth, --play-auth or --chat-auth is hook, it is asked anyway"`
	Timeout time.Duration `flag:"hook-timeout" group:"auth" help:"how long an answer of --hook may take; SRT callers wait 2s at most" min:"50ms" max:"30s"`
	Fail    string        `flag:"hook-fail" group:"auth" help:"what becomes of a question that --hook does not answer: closed refuses, open permits"`
	Secret  string        `flag:"hook-secret" group:"auth" help:"file of the secret that signs what --hook gets; empty: hook.secret in --data-dir, made at the first start"`
	Tells   string        `flag:"hook-tells" group:"auth" help:"what --hook is told: streams (started, suspended, resumed, ended), viewers (how many, now and then), with commas; empty: nothing"`
	Viewers time.Duration `flag:"hook-viewers" group:"auth" help:"how often --hook is told how many watch a stream" min:"1s" max:"1h"`
	GiveUp  time.Duration `flag:"hook-give-up" group:"auth" help:"how long --hook is tried to be told something" min:"1s" max:"720h"`
	Queue   int           `flag:"hook-queue" group:"limits" help:"what may wait to be told to --hook; over it the oldest counts of viewers go first, then what is of players (on_stop), then the oldest of the rest" min:"100" max:"10000000"`
}

// The styles of Config.Style and the values of Config.Fail.
const (
	StyleMiju = "miju"
	StyleSRS  = "srs"

	FailClosed = "closed"
	FailOpen   = "open"
)

// The kinds of what is told.
const (
	tellStreams = "streams"
	tellViewers = "viewers"
)

// DefaultConfig asks nothing. Where there is an application it is told
// everything.
func DefaultConfig() Config {
	return Config{
		Style: StyleMiju, Timeout: 2 * time.Second, Fail: FailClosed, Tells: tellStreams + "," + tellViewers,
		Viewers: 10 * time.Second, GiveUp: 24 * time.Hour, Queue: 100000,
	}
}

var errConfig = errors.New("hook settings")

// events names the URL in Config.URL of all that is told.
const events = "events"

// names are what a URL may be given for, by style.
func (c Config) names() []string {
	if c.Style == StyleSRS {
		return []string{onPublish, onUnpublish, onPlay, onStop}
	}
	return []string{askPublish, askPlay, askJoin, askMessage, events}
}

// Check returns what is wrong with c beyond its ranges. It repeats no URL: one
// may hold a password.
func (c Config) Check() error {
	if c.Style != StyleMiju && c.Style != StyleSRS {
		return fmt.Errorf("%w: --hook-style is %q, it may be %s or %s", errConfig, c.Style, StyleMiju, StyleSRS)
	}
	if c.Fail != FailClosed && c.Fail != FailOpen {
		return fmt.Errorf("%w: --hook-fail is %q, it may be %s or %s", errConfig, c.Fail, FailClosed, FailOpen)
	}
	for _, name := range list(c.Tells) {
		if name != tellStreams && name != tellViewers {
			return fmt.Errorf("%w: --hook-tells has %.20q, it may have %s and %s", errConfig, name, tellStreams, tellViewers)
		}
	}
	for _, name := range list(c.Decides) {
		switch {
		case !slices.Contains([]string{askPublish, askPlay, askJoin, askMessage}, name):
			return fmt.Errorf("%w: --hook-decides has %.20q, it may have %s, %s, %s and %s", errConfig, name, askPublish, askPlay, askJoin, askMessage)
		case c.URL == "":
			return fmt.Errorf("%w: --hook-decides needs --hook", errConfig)
		case c.Style == StyleSRS && (name == askJoin || name == askMessage):
			return fmt.Errorf("%w: --hook-decides has %s, which SRS's callbacks do not know", errConfig, name)
		}
	}
	urls, err := c.urls()
	if err != nil {
		return err
	}
	for _, name := range list(c.Decides) {
		if c.URL != "" && urls.of(name) == "" {
			return fmt.Errorf("%w: --hook-decides has %s, and --hook no URL for it", errConfig, name)
		}
	}
	return nil
}

// Asks reports whether the application can be asked about name: publish, play,
// join or message.
func (c Config) Asks(name string) bool {
	if c.Style == StyleSRS && (name == askJoin || name == askMessage) {
		return false
	}
	urls, err := c.urls()
	return err == nil && urls.of(name) != ""
}

func (c Config) decides(name string) bool { return slices.Contains(list(c.Decides), name) }
func (c Config) tells(name string) bool   { return slices.Contains(list(c.Tells), name) }

func list(s string) []string {
	return slices.DeleteFunc(strings.Split(strings.ReplaceAll(s, " ", ""), ","), func(s string) bool { return s == "" })
}

// endpoints are the URLs by what they are for; under "" is the one for all.
type endpoints map[string]string

// of returns the URL for what a style calls name, or "".
func (e endpoints) of(name string) string {
	if u := e[name]; u != "" {
		return u
	}
	switch name {
	case askPublish:
		name = onPublish
	case askPlay:
		name = onPlay
	}
	if u := e[name]; u != "" {
		return u
	}
	return e[""]
}

// urls reads Config.URL: one URL, or several with what each is for. Commas inside
// of a URL are %2C.
func (c Config) urls() (endpoints, error) {
	e := endpoints{}
	if c.URL == "" {
		return e, nil
	}
	if strings.HasPrefix(c.URL, "http://") || strings.HasPrefix(c.URL, "https://") {
		e[""] = c.URL
		return e, checkURL(c.URL)
	}
	for part := range strings.SplitSeq(c.URL, ",") {
		name, at, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok || !slices.Contains(c.names(), name):
			return nil, fmt.Errorf("%w: --hook must be a URL of http or https, or a list like %s=URL, with the names %s", errConfig, c.names()[0], strings.Join(c.names(), ", "))
		case e[name] != "":
			return nil, fmt.Errorf("%w: --hook has %s twice", errConfig, name)
		}
		if err := checkURL(at); err != nil {
			return nil, err
		}
		e[name] = at
	}
	return e, nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: --hook has what is no URL of http or https", errConfig)
	}
	return nil
}
