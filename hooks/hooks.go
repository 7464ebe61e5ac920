// Package hooks asks and tells the operator's application.
package hooks

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// ErrUndecided means that the application did not answer, or not as it must. It is
// what peers are told.
var ErrUndecided = errors.New("the application does not answer")

// Hooks is the application: an Authorizer that asks it, and who tells it. Run
// must be called, to tell.
type Hooks struct {
	config  Config
	urls    endpoints
	options Options
	log     *slog.Logger
	now     func() time.Time

	asks    map[string]*ask
	players sessions
	queue   *queue

	mu    sync.Mutex
	lives map[streamkey.Key]*life

	// logged is when the log spoke of failing questions last, in Unix seconds.
	logged atomic.Int64
}

var _ auth.Authorizer = (*Hooks)(nil)

// Options are what Hooks need besides the settings.
type Options struct {
	// Doors decide before the application does. Alone says for which actions they
	// leave it to the application, which gets the peer's credential then.
	Doors auth.Authorizer
	Alone func(auth.Action) bool
	// Attempts counts the wrong credentials that the application alone finds; nil
	// counts none.
	Attempts *auth.Attempts
	// Secret signs what is sent; nil: nothing is signed.
	Secret []byte
	// Dir is where what is to be told waits; empty: in memory.
	Dir string
	Log *slog.Logger
}

// New returns the application by settings that c.Check finds nothing wrong with.
func New(ctx context.Context, c Config, o Options) (*Hooks, error) {
	urls, err := c.urls()
	if err != nil {
		return nil, err
	}
	h := &Hooks{
		config: c, urls: urls, options: o, log: o.Log, now: time.Now,
		asks: map[string]*ask{}, lives: map[streamkey.Key]*life{},
	}
	for _, name := range []string{askPublish, askPlay, askJoin, askMessage} {
		h.asks[name] = &ask{slots: make(chan struct{}, questionsAtOnce), client: newClient(questionsAtOnce, o.Secret)}
	}
	h.players.all = map[sessionID]*session{}
	h.queue, err = openQueue(ctx, o.Dir, queueOptions{
		most: c.Queue, giveUp: c.GiveUp, client: newClient(deliveriesAtOnce, o.Secret), urls: urls, srs: c.Style == StyleSRS, log: o.Log,
	})
	return h, err
}

// Run tells the application until ctx ends, and then, for a moment, what there is
// left to tell.
func (h *Hooks) Run(ctx context.Context) {
	var sweeping sync.WaitGroup
	sweeping.Go(func() {
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.players.sweep(h.now())
			case <-ctx.Done():
				h.players.endAll()
				return
			}
		}
	})
	h.queue.run(ctx, sweeping.Wait)
}

// Close closes the queue and connections. Run must have ended, or never begun.
func (h *Hooks) Close() error {
	for _, kind := range h.asks {
		kind.client.close()
	}
	return h.queue.close()
}

// Authorize implements auth.Authorizer: the doors first, then the application.
func (h *Hooks) Authorize(ctx context.Context, r auth.Request) (auth.Grant, error) {
	g, err := h.options.Doors.Authorize(ctx, r)
	name := questionOf(r.Action)
	if err != nil || r.Internal || g.Edge || name == "" {
		return g, err
	}
	alone := h.options.Alone(r.Action)
	if !alone && !h.config.decides(name) {
		return g, nil
	}
	if passing(&r) {
		return h.continued(ctx, name, r, g, alone)
	}
	g, _, err = h.decide(ctx, name, &r, g, alone)
	return g, err
}

// passing reports whether r is one of many short requests of one peer.
func passing(r *auth.Request) bool { return r.Protocol == "hls" || r.Reads }

// decide asks about r, which the door has granted g. answered is false if it had to
// be decided without an answer.
func (h *Hooks) decide(ctx context.Context, name string, r *auth.Request, g auth.Grant, alone bool) (_ auth.Grant, answered bool, _ error) {
	tries := alone && (r.Token != "" || auth.Credentials(r.Query) != "")
	if tries {
		if err := h.options.Attempts.May(r.Action, r.RemoteAddr); err != nil {
			return auth.Grant{}, true, err
		}
	}
	q := h.question(name, r, g, alone)
	if q.tooLong() {
		return auth.Grant{}, true, fmt.Errorf("%w: the credential is too long", auth.ErrUnauthenticated)
	}
	a, err := h.ask(ctx, name, q)
	answered = err == nil
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal):
		refusal.Message = clean(hide(refusal.Message, q), maxMessage)
		if tries && errors.Is(refusal.Why, auth.ErrUnauthenticated) {
			h.options.Attempts.Wrong(r.Action, r.RemoteAddr)
		}
		return auth.Grant{}, true, err
	case err != nil && ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return auth.Grant{}, false, ctx.Err() // the peer has gone
	case err != nil && h.config.Fail == FailClosed:
		return auth.Grant{}, false, ErrUndecided
	case err != nil:
		a = Answer{}
	case tries:
		h.options.Attempts.Right(r.Action, r.RemoteAddr)
	}
	g = a.grant(g, h.now())
	g.Private = r.Action != auth.Publish // others may not be given it
	if h.config.Style == StyleSRS && r.Action <= auth.Play {
		g.Ended = h.open(q)
	}
	return g, answered, nil
}

// Message is what somebody wants to say in a chat.
type Message struct {
	Key streamkey.Key
	// ID, Name and Role are the sender's; Address its host, or empty.
	ID, Name string
	Role     auth.Role
	Address  string
	Text     string
}

// DecidesMessages reports whether messages are asked about.
func (h *Hooks) DecidesMessages() bool { return h.config.decides(askMessage) }

// Say asks whether m may be said, and returns what is: another text, maybe. An
// error that is no auth.Refusal means that this is not known.
func (h *Hooks) Say(ctx context.Context, m Message) (string, error) {
	q := &question{
		ID: newID("q"), Type: askMessage, Time: stamp(h.now()), Server: h.queue.server, Stream: m.Key.String(),
		Protocol: "chat", Address: m.Address, Subject: m.ID, Name: m.Name, Role: m.Role, Text: m.Text,
	}
	a, err := h.ask(ctx, askMessage, q)
	var refusal *auth.Refusal
	switch {
	case errors.As(err, &refusal):
		return "", err
	case err != nil && ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && h.config.Fail == FailClosed:
		return "", ErrUndecided
	case err == nil && a.Text != "":
		return a.Text, nil
	}
	return m.Text, nil
}

// Timeout is how long an answer may take.
func (h *Hooks) Timeout() time.Duration { return h.config.Timeout }

// newID returns a name that nothing else has.
func newID(kind string) string { return kind + "_" + rand.Text() }

// stamp is a time as it is sent.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func hostOf(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// failed counts nothing and logs a failing question, but not each.
func (h *Hooks) failed(name string, err error) {
	now := h.now().Unix()
	if last := h.logged.Load(); now-last >= 60 && h.logged.CompareAndSwap(last, now) {
		h.log.Error("the hook fails", "asked", name, "then", h.config.Fail, "err", err)
	}
}

// Stats are the counters of Hooks since their start.
type Stats struct {
	// Asked counts questions by what they were about, and by what came of them.
	Asked map[string]Outcomes
	// Remembered counts requests that an answer before was good for; Players are
	// those whose answers are remembered.
	Remembered uint64
	Players    int
	Told       Told
}

// Outcomes counts what came of questions.
type Outcomes struct {
	Permitted, Denied, Failed uint64
	// Seconds is how long all together took.
	Seconds float64
}

// Stats returns the counters of this moment.
func (h *Hooks) Stats() Stats {
	st := Stats{Asked: map[string]Outcomes{}, Remembered: h.players.remembered.Load(), Players: h.players.len(), Told: h.queue.stats()}
	for name, a := range h.asks {
		st.Asked[name] = Outcomes{
			Permitted: a.permitted.Load(), Denied: a.denied.Load(), Failed: a.failed.Load(),
			Seconds: time.Duration(a.nanoseconds.Load()).Seconds(),
		}
	}
	return st
}
