package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatws"
	"github.com/miju-live/miju/hooks"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// hookSecret is the name of the file in the data directory whose secret signs
// what the application gets.
const hookSecret = "hook.secret"

// openHooks puts the application, if there is one, behind the doors.
func (s *server) openHooks(ctx context.Context) (err error) {
	c := s.config.Hooks
	if c.URL == "" {
		return nil
	}
	o := hooks.Options{Doors: s.auth, Alone: s.config.Auth.ByHook, Dir: s.config.Data.Dir, Log: s.log}
	if s.doors != nil {
		o.Attempts = s.doors.Attempts()
	}
	switch {
	case c.Secret != "":
		o.Secret, err = auth.ReadSecret(c.Secret)
	case s.config.Data.Dir != "":
		o.Secret, _, err = auth.OpenSecretAs(filepath.Join(s.config.Data.Dir, hookSecret))
	default:
		s.log.Warn("what the hook gets is not signed: there is no --hook-secret and no --data-dir to keep one in")
	}
	if err != nil {
		return fmt.Errorf("the secret of --hook: %w", err)
	}
	if s.hooks, err = hooks.New(ctx, c, o); err != nil {
		return err
	}
	s.auth = s.hooks
	return nil
}

// checkHooks returns which door is left to an application that is not there.
func (c *config) checkHooks() error {
	if err := c.Hooks.Check(); err != nil {
		return err
	}
	if c.Hooks.Secret != "" {
		if _, err := auth.ReadSecret(c.Hooks.Secret); err != nil {
			return fmt.Errorf("--hook-secret: %w", err)
		}
	}
	for _, door := range []struct {
		action         auth.Action
		flag, question string
	}{{auth.Publish, "publish-auth", "publish"}, {auth.Play, "play-auth", "play"}, {auth.Chat, "chat-auth", "join"}} {
		if c.Auth.ByHook(door.action) && !c.Hooks.Asks(door.question) {
			return fmt.Errorf("--%s is %s, and --hook has no URL that may be asked about %s", door.flag, auth.ByHook, door.question)
		}
	}
	return nil
}

// tellHooks has the application hear of s's streams.
func (s *server) tellHooks() {
	if s.hooks == nil {
		return
	}
	s.ingest.Tell(func(n ingest.News) {
		key, session := n.Stream.Key(), n.Stream.Session()
		switch n.Kind {
		case ingest.NewsLive:
			s.hooks.Live(key, session, hooks.Publisher{Session: n.Session, Protocol: n.Protocol, Address: n.RemoteAddr, Subject: n.Subject})
		case ingest.NewsSuspended:
			s.hooks.Suspended(key, session, string(n.Reason))
			s.hookLooks(key) // it may be over already
		case ingest.NewsEnded:
			s.hooks.Ended(key, session, string(n.Reason))
		}
	})
	if s.hooks.DecidesMessages() {
		s.chat.EditBy(hookEditor{s.hooks})
	}
}

// hookLooks tells the application which stream of key there is.
func (s *server) hookLooks(key streamkey.Key) {
	if s.hooks == nil {
		return
	}
	session := ""
	if live, err := s.hub.Lookup(key); err == nil {
		session = live.Session()
	}
	s.hooks.Found(key, session)
}

// countForHooks tells the application now and then how many watch.
func (s *server) countForHooks(ctx context.Context) {
	tick := time.NewTicker(s.config.Hooks.Viewers)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, live := range s.hub.Streams() {
			s.hooks.Watched(live.Key(), live.Session(), viewersOf(live))
		}
	}
}

func viewersOf(s *stream.Stream) int64 { return s.Stats().Viewers }

// hookEditor is the application as the chat sees it.
type hookEditor struct{ *hooks.Hooks }

var _ chatws.Editor = hookEditor{}

// Edit implements chatws.Editor.
func (h hookEditor) Edit(ctx context.Context, s chatws.Speech) (string, error) {
	return h.Say(ctx, hooks.Message{Key: s.Room, ID: s.From.ID, Name: s.From.Name, Role: s.Role, Address: s.Address, Text: s.Text})
}

// EditTimeout implements chatws.Editor.
func (h hookEditor) EditTimeout() time.Duration { return h.Timeout() + time.Second }

// closeHooks keeps what could not be told for the next start.
func (s *server) closeHooks() {
	if s.hooks == nil {
		return
	}
	if n := s.hooks.Stats().Told.Waiting; n > 0 {
		then := "at the next start"
		if s.config.Data.Dir == "" {
			then = "never, without --data-dir"
		}
		s.log.Warn("the hook has not been told everything", "waiting", n, "told", then)
	}
	if err := s.hooks.Close(); err != nil {
		s.log.Error("cannot close the queue of the hook", "err", err)
	}
	s.hooks = nil
}
