package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
)

// What the application is asked.
const (
	askPublish = "publish"
	askPlay    = "play"
	askJoin    = "join"
	askMessage = "message"
)

// questionsAtOnce is how many questions of a kind may wait for an answer.
const questionsAtOnce = 256

func questionOf(a auth.Action) string {
	switch a {
	case auth.Publish:
		return askPublish
	case auth.Play:
		return askPlay
	case auth.Chat:
		return askJoin
	}
	return ""
}

// question is what the application is asked.
type question struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Time    string `json:"time"`
	Server  string `json:"server"`
	Stream  string `json:"stream"`
	Session string `json:"session,omitempty"`
	// Protocol and Address are the peer's.
	Protocol string `json:"protocol"`
	Address  string `json:"address,omitempty"`
	// Subject, Name and Role are as the door found them, or as asked for.
	Subject string    `json:"subject,omitempty"`
	Name    string    `json:"name,omitempty"`
	Role    auth.Role `json:"role,omitempty"`
	// User, Token and Query are the peer's credential, if the application alone
	// decides.
	User  string `json:"user,omitempty"`
	Token string `json:"token,omitempty"`
	Query string `json:"query,omitempty"`
	Text  string `json:"text,omitempty"`
}

// question makes one of a request.
func (h *Hooks) question(name string, r *auth.Request, g auth.Grant, alone bool) *question {
	q := &question{
		ID: newID("q"), Type: name, Time: stamp(h.now()), Server: h.queue.server, Stream: r.Key.String(), Session: r.Session,
		Protocol: r.Protocol, Address: hostOf(r.RemoteAddr), Subject: g.Subject, Name: g.Name, Role: g.Role,
	}
	if q.Session == "" {
		q.Session = newID("s")
	}
	if alone {
		q.User, q.Token, q.Query = r.User, r.Token, r.Query
		if passing(r) { // what the answer is remembered by
			q.Query = auth.Credentials(r.Query)
		}
	}
	return q
}

// ask is one kind of question.
type ask struct {
	slots chan struct{}
	// client has connections of its own: what is said in chats takes none from
	// publishers.
	client *client

	permitted, denied, failed atomic.Uint64
	nanoseconds               atomic.Int64
}

// ask asks, and counts what comes of it. The error is an auth.Refusal, or says
// what has failed.
func (h *Hooks) ask(ctx context.Context, name string, q *question) (Answer, error) {
	begun := time.Now()
	kind := h.asks[name]
	ctx, cancel := context.WithTimeout(ctx, h.patience(ctx))
	defer cancel()
	a, err := h.exchange(ctx, kind, name, q)
	kind.nanoseconds.Add(int64(time.Since(begun)))
	var refusal *auth.Refusal
	switch {
	case err == nil:
		kind.permitted.Add(1)
	case errors.As(err, &refusal):
		kind.denied.Add(1)
	case errors.Is(ctx.Err(), context.Canceled): // who wanted to know has gone
	default:
		kind.failed.Add(1)
		h.failed(name, err)
	}
	return a, err
}

// patience is how long an answer may take, so that what becomes of the question
// without one can still be told to a peer that waits until ctx ends.
func (h *Hooks) patience(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(h.config.Timeout, time.Until(end)*9/10)
	}
	return h.config.Timeout
}

func (h *Hooks) exchange(ctx context.Context, kind *ask, name string, q *question) (Answer, error) {
	select {
	case kind.slots <- struct{}{}:
		defer func() { <-kind.slots }()
	case <-ctx.Done():
		return Answer{}, fmt.Errorf("%w: too many questions wait for answers", errFailed)
	}
	at := h.urls.of(name)
	if at == "" {
		return Answer{}, fmt.Errorf("%w: there is no URL for %s", errFailed, name)
	}
	if h.config.Style == StyleSRS {
		c := callbackOf(q)
		status, answer, err := kind.client.post(ctx, at, c.Action, c.body())
		if err == nil {
			err = parseSRS(status, answer)
		}
		return Answer{}, err
	}
	body, err := json.Marshal(q)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errFailed, err)
	}
	status, answer, err := kind.client.post(ctx, at, name, body)
	if err != nil {
		return Answer{}, err
	}
	return parseAnswer(status, answer)
}
