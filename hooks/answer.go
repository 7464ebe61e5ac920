package hooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/miju-live/miju/auth"
)

const (
	// maxMessage bounds a reason for the peer, and maxWord a subject or a name,
	// in bytes.
	maxMessage = 300
	maxWord    = 256
	// maxRedirect bounds a URL to go to instead, in bytes.
	maxRedirect = 2048
	// maxLifetime is the longest of expiresIn.
	maxLifetime = 10 * 365 * 24 * time.Hour
)

// Answer is what the application says to a question, beside the status.
type Answer struct {
	// Allow, where it is false, denies whatever the status.
	Allow *bool `json:"allow"`
	// Message is why not, for the peer.
	Message string `json:"message"`
	// Subject, Name and Role are who it is; empty: who the door took it for.
	Subject string    `json:"subject"`
	Name    string    `json:"name"`
	Role    auth.Role `json:"role"`
	// ExpiresIn is in seconds, MaxBitrate in kbit/s; 0 is without end, as MaxViewers.
	MaxViewers int     `json:"maxViewers"`
	MaxBitrate int     `json:"maxBitrate"`
	ExpiresIn  float64 `json:"expiresIn"`
	// Redirect is a URL of RTMP to go to instead.
	Redirect string `json:"redirect"`
	// Text is said instead of a message, if there is any.
	Text string `json:"text"`
}

// parseAnswer reads what an application of Miju's own style answered: any status
// of 200 to 299 permits, any of 400 to 499 denies. The error is a Refusal, or
// wraps errFailed.
func parseAnswer(status int, body []byte) (Answer, error) {
	var a Answer
	good, no := status/100 == 2, status/100 == 4
	if !good && !no {
		return a, fmt.Errorf("%w: status %d", errFailed, status)
	}
	// What is no object is for people: "OK", or a page about an error.
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '{' {
		if err := json.Unmarshal(body, &a); err != nil {
			if good {
				return Answer{}, fmt.Errorf("%w: an answer that cannot be read", errFailed)
			}
			a = Answer{}
		}
	}
	a.Message, a.Name = clean(a.Message, maxMessage), clean(a.Name, maxWord)
	if no || a.Allow != nil && !*a.Allow {
		why := auth.ErrForbidden
		if status == http.StatusUnauthorized {
			why = auth.ErrUnauthenticated
		}
		return Answer{}, &auth.Refusal{Why: why, Message: a.Message}
	}
	if err := a.check(); err != nil {
		return Answer{}, err
	}
	if a.Redirect != "" {
		return Answer{}, &auth.Refusal{Why: auth.ErrForbidden, Message: a.Message, Redirect: a.Redirect}
	}
	return a, nil
}

// check returns what no grant may have. It repeats nothing of a redirect.
func (a *Answer) check() error {
	switch {
	case a.Subject != clean(a.Subject, maxWord) || strings.HasPrefix(a.Subject, auth.OwnSubject):
		return fmt.Errorf("%w: an answer with a subject that is no good", errFailed)
	case a.Role != "" && a.Role.Rank() == 0 && a.Role != auth.RoleReader:
		return fmt.Errorf("%w: an answer with the role %.20q", errFailed, a.Role)
	case a.MaxViewers < 0 || a.MaxBitrate < 0 || !(a.ExpiresIn >= 0 && a.ExpiresIn <= maxLifetime.Seconds()):
		return fmt.Errorf("%w: an answer with a limit that is out of range", errFailed)
	}
	if a.Redirect != "" {
		u, err := url.Parse(a.Redirect)
		if err != nil || len(a.Redirect) > maxRedirect || u.Host == "" || u.Scheme != "rtmp" && u.Scheme != "rtmps" {
			return fmt.Errorf("%w: an answer with a redirect that is no URL of RTMP", errFailed)
		}
	}
	return nil
}

// grant adds what the answer says to what the door granted.
func (a *Answer) grant(g auth.Grant, now time.Time) auth.Grant {
	if a.Subject != "" {
		g.Subject = a.Subject
	}
	if a.Name != "" {
		g.Name = a.Name
	}
	if a.Role != "" {
		g.Role = a.Role
	}
	if a.ExpiresIn > 0 {
		end := now.Add(time.Duration(a.ExpiresIn * float64(time.Second)))
		if g.Expires.IsZero() || end.Before(g.Expires) {
			g.Expires = end
		}
	}
	g.MaxViewers, g.MaxBitrate = a.MaxViewers, a.MaxBitrate
	return g
}

// minHidden is the shortest credential that is taken for a secret, in bytes: a
// shorter one may be any word of a reason.
const minHidden = 8

// hide takes the credential out of a reason that repeats it, which goes to the log as
// well as to the peer.
func hide(reason string, q *question) string {
	secrets := []string{q.Token}
	values, _ := url.ParseQuery(auth.Credentials(q.Query))
	for _, v := range values {
		secrets = append(secrets, v...)
	}
	for _, s := range secrets {
		if len(s) < minHidden {
			continue
		}
		begin := s[:min(len(s), 12)] // the reason may have been cut
		for {
			before, rest, found := strings.Cut(reason, begin)
			if !found {
				break
			}
			for behind := s[len(begin):]; behind != "" && rest != "" && rest[0] == behind[0]; behind = behind[1:] {
				rest = rest[1:]
			}
			reason = before + "…" + rest
		}
	}
	return reason
}

// clean makes one line of s that can be shown, of no more bytes than most.
func clean(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return ' '
		}
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, s))
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return strings.TrimSpace(s[:most])
}

// parseSRS reads what a backend of SRS answered: 0, or an object whose code is 0,
// permits, any other code denies. SRS takes its answers with 200 alone; others of
// 200 to 299 mean the same here. The error is as parseAnswer's.
func parseSRS(status int, body []byte) error {
	switch {
	case status/100 == 4:
		return &auth.Refusal{Why: auth.ErrForbidden}
	case status/100 != 2:
		return fmt.Errorf("%w: status %d", errFailed, status)
	}
	var a struct {
		Code    *json.Number `json:"code"`
		Msg     any          `json:"msg"`
		Message any          `json:"message"`
	}
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '{' {
		if err := json.Unmarshal(body, &a); err != nil || a.Code == nil {
			return fmt.Errorf("%w: an answer without a code", errFailed)
		}
	} else {
		var n json.Number
		if err := json.Unmarshal(body, &n); err != nil || len(body) > 0 && body[0] == '"' || n == "" {
			return fmt.Errorf("%w: an answer that is no number", errFailed)
		}
		a.Code = &n
	}
	if code, err := a.Code.Int64(); err == nil && code == 0 {
		return nil
	}
	r := &auth.Refusal{Why: auth.ErrForbidden}
	for _, m := range []any{a.Msg, a.Message} {
		if s, ok := m.(string); ok && r.Message == "" {
			r.Message = clean(s, maxMessage)
		}
	}
	return r
}
