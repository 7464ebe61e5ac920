package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/origin"
)

type httpConfig struct {
	Listen    string `flag:"http" group:"network" help:"address for viewers, CDN edges and chat, by HTTP/1.1 and by HTTP/2 without negotiation; empty turns it off"`
	ListenTLS string `flag:"https" group:"network" help:"address for the same over TLS, which browsers need for HTTP/2 and Apple's players for low latency; needs --tls-cert and --tls-key, or --acme-domain"`
}

// maxStreams is how many requests one HTTP/2 connection may have open. An edge
// has one waiting for each rendition of each stream that it carries, and asks
// for parts beside them.
const maxStreams = 2000

func (s *server) listenHTTP() (err error) {
	c := s.config.HTTP
	if c.Listen != "" {
		if s.http, err = net.Listen("tcp", c.Listen); err != nil {
			return listenError("HTTP", "http", c.Listen, err)
		}
	}
	if c.ListenTLS != "" {
		if s.https, err = net.Listen("tcp", c.ListenTLS); err != nil {
			return listenError("HTTPS", "https", c.ListenTLS, err)
		}
	}
	return nil
}

var connectionClose = []string{"close"}

// httpServer returns a server for serveHTTP.
func (s *server) httpServer(ctx context.Context, h http.Handler) *http.Server {
	hs := &http.Server{
		Handler:           boundBodies(h),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       origin.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetHTTP2(true)
	hs.Protocols.SetUnencryptedHTTP2(true)
	return hs
}

// serveHTTP serves l, if there is one, until hs is shut down; secure is by TLS.
func (s *server) serveHTTP(hs *http.Server, l net.Listener, secure bool, running *sync.WaitGroup, failed chan<- error) {
	if l == nil {
		return
	}
	if l == s.http {
		l = s.origin.Front(hs.BaseContext(l), s.peers.Listener(l), hs.Handler)
	} else {
		l = s.origin.Listener(s.peers.Listener(l))
	}
	running.Go(func() {
		serve := func() error { return hs.Serve(l) }
		if secure {
			serve = func() error { return hs.ServeTLS(l, "", "") }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
}

// route sends /app/name/chat, and what is below it, to the chat and all else
// to the origin. All of it may stand behind /t/TOKEN.
func (s *server) route(w http.ResponseWriter, r *http.Request) {
	if s.certs != nil && s.certs.Challenge(w, r) {
		return
	}
	s.peers.Introduce(r)
	if len(r.Header["Upgrade"]) > 0 {
		// An edge may have joined its client's connection to this one, for good. Where
		// that becomes no WebSocket the client would speak next as the edge.
		w.Header()["Connection"] = connectionClose
	}
	auth.CutToken(r)
	if parts := strings.SplitN(r.URL.Path, "/", 5); len(parts) >= 4 && parts[3] == "chat" {
		s.chat.ServeHTTP(w, r)
		return
	}
	s.origin.ServeHTTP(w, r)
}
