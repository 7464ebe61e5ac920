package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/miju-live/miju/admin"
	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/certs"
	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/chatws"
	"github.com/miju-live/miju/hooks"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/file"
	"github.com/miju-live/miju/ingest/rtmp"
	"github.com/miju-live/miju/ingest/srt"
	"github.com/miju-live/miju/origin"
	"github.com/miju-live/miju/origin/web"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// drain is how long viewers, members and requests may take to end by
// themselves once the publishers are gone. Publishers have had up to a second
// before, connections that do not end get closed after: together under 5 s.
const drain = 2 * time.Second

// storeStart is how long the chat database may take to open, migrations
// included.
const storeStart = time.Minute

// server is everything, wired.
type server struct {
	config config
	log    *slog.Logger

	// doors decides who may do what, auth what it asks: the same, but in tests.
	doors *auth.Doors
	auth  auth.Authorizer
	// secret signs tokens; fresh says that it was made at this start.
	secret []byte
	fresh  bool

	peers  *peer.Door
	hub    *stream.Hub
	ingest *ingest.Server
	origin *origin.Server
	chat   *chatws.Server
	hooks  *hooks.Hooks     // nil if there is no application
	kept   *chatstore.Store // nil if the chat is in memory only
	// revocations are followed if there are doors and a database.
	revocations *revocations

	rtmpServer *rtmp.Server
	// Listeners that are turned off are nil.
	rtmp, rtmps *rtmp.Listener
	srt         *srt.Listener
	http, https net.Listener // https is below TLS
	admin       net.Listener
	certs       *certs.Source // of rtmps and https, nil if both are off
	files       []*file.Listener
	data        *os.File // holds the lock of the data directory
}

// listen wires a server and opens its listeners, all or none. ctx may end it
// early. authorizer decides instead of the doors that the settings make, if it is
// not nil.
func listen(ctx context.Context, c config, authorizer auth.Authorizer, log *slog.Logger) (_ *server, err error) {
	s := &server{config: c, log: log, peers: peer.New(c.Peers, log)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.hub = stream.NewHub(c.Stream, func(k streamkey.Key) {
		s.chat.StreamChanged(k)
		s.origin.StreamChanged(k)
		s.hookLooks(k)
	})
	if c.Data.Dir != "" {
		if s.data, err = lockData(c.Data.Dir); err != nil {
			return nil, err
		}
	}
	starting, cancel := context.WithTimeout(ctx, storeStart)
	defer cancel()
	var store chatws.Store
	if store, s.kept, err = openStore(starting, c, log); err != nil {
		return nil, err
	}
	c.Chat.Origins, c.Chat.Proxies = c.Origin.AllowOrigin, s.peers.Trusted()
	if s.auth = authorizer; authorizer == nil {
		if s.doors, s.secret, s.fresh, err = openDoors(c, streamKeys(s.kept), log); err != nil {
			return nil, err
		}
		s.auth = s.doors
		if err = s.knowRevoked(starting); err != nil {
			return nil, err
		}
	}
	if err = s.openHooks(starting); err != nil {
		return nil, err
	}
	if s.chat, err = chatws.New(starting, c.Chat, s.auth, liveStreams{s.hub}, store, log); err != nil {
		return nil, err
	}
	s.ingest = ingest.NewServer(c.Ingest, s.hub, s.auth, log)
	if c.Data.Dir != "" {
		c.Origin.HLS.Dir = filepath.Join(c.Data.Dir, "hls")
	}
	if c.Auth.Play != auth.ByNobody { // else players of HLS get no further than the first playlist
		c.Origin.HLS.TokenInPlaylist = true
	}
	ancestors, err := web.Ancestors(c.Origin.FrameAncestors)
	if err != nil {
		return nil, err
	}
	s.origin = origin.NewServer(c.Origin, s.hub, s.auth, web.Handler(ancestors), log)
	s.hub.CountEgress(s.origin.Sent)
	if s.certs, err = openCerts(c, log); err != nil {
		return nil, err
	}
	s.tellHooks()

	if err = s.listenRTMP(); err != nil {
		return nil, err
	}
	if c.SRT.Listen != "" {
		if s.srt, err = s.listenSRT(); err != nil {
			return nil, listenError("SRT", "srt", c.SRT.Listen, err)
		}
		if s.doors != nil {
			s.srt.CountWrong(s.doors.Attempts())
		}
		s.hub.CountEgress(func() uint64 { return s.srt.Stats().PlayedBytes })
	}
	if err = s.listenHTTP(); err != nil {
		return nil, err
	}
	if c.Admin.Listen != "" {
		if s.admin, err = net.Listen("tcp", c.Admin.Listen); err != nil {
			return nil, listenError("the admin listener", "admin", c.Admin.Listen, err)
		}
	}
	return s, s.openFiles()
}

func (s *server) listenRTMP() (err error) {
	c := s.config.RTMP
	s.rtmpServer = rtmp.NewServer(c)
	s.rtmpServer.Through(s.peers.Listener)
	if s.doors != nil {
		s.rtmpServer.AskUsers(s.doors.Users())
	}
	s.hub.CountEgress(func() uint64 { return s.rtmpServer.Stats().PlayedBytes })
	if c.Listen != "" {
		if s.rtmp, err = s.rtmpServer.Listen(); err != nil {
			return listenError("RTMP", "rtmp", c.Listen, err)
		}
	}
	if c.ListenTLS != "" {
		if s.rtmps, err = s.rtmpServer.ListenTLS(s.certs.TLS()); err != nil {
			return listenError("RTMPS", "rtmps", c.ListenTLS, err)
		}
	}
	return nil
}

func (s *server) openFiles() error {
	clips, err := s.config.Files.clips()
	if err != nil {
		return err
	}
	for _, c := range clips {
		s.files = append(s.files, file.Play(c.key, c.path, func() (io.ReadCloser, error) { return os.Open(c.path) }))
	}
	if s.config.Files.Demo {
		key, err := streamkey.Join("live", "demo")
		if err != nil {
			return err
		}
		s.files = append(s.files, file.Play(key, "demo", func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(file.Demo)), nil
		}))
	}
	return nil
}

// listenError says what an operator can do about a listener that does not open.
func listenError(what, flag, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return fmt.Errorf("port %s for %s is taken by another process; end that one or choose another port with --%s :PORT (%w)", port, what, flag, err)
	}
	return fmt.Errorf("cannot listen for %s on %s, see --%s: %w", what, addr, flag, err)
}

func (s *server) close() {
	for _, l := range []*rtmp.Listener{s.rtmp, s.rtmps} {
		if l != nil {
			l.Close()
		}
	}
	if s.srt != nil {
		s.srt.Close()
	}
	for _, l := range []net.Listener{s.http, s.https, s.admin} {
		if l != nil {
			l.Close()
		}
	}
	s.closeData()
}

// serve runs until ctx ends or a listener breaks, and returns when everything
// that it started is gone.
func (s *server) serve(ctx context.Context) error {
	ingestCtx, stopIngest := context.WithCancel(context.WithoutCancel(ctx))
	defer stopIngest()
	viewCtx, stopViewers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopViewers()
	failed := make(chan error, 8) // no more than the goroutines that may send

	var publishers, others sync.WaitGroup
	for _, l := range s.ingestListeners() {
		publishers.Go(func() {
			if err := s.ingest.Serve(ingestCtx, l); err != nil {
				failed <- err
			}
		})
	}
	others.Go(func() { s.origin.Run(viewCtx) })
	others.Go(func() { keepPace(viewCtx, s.hub) })
	others.Go(func() { s.hub.Run(viewCtx) })
	if s.doors != nil {
		others.Go(func() { s.doors.Run(viewCtx) })
		others.Go(func() { s.watchRevoked(viewCtx) })
	}
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()
	var told sync.WaitGroup
	if s.hooks != nil {
		others.Go(func() { s.countForHooks(viewCtx) })
		told.Go(func() { s.hooks.Run(telling) })
	}
	public := s.httpServer(viewCtx, http.HandlerFunc(s.route))
	if s.certs != nil {
		public.TLSConfig = s.certs.WebTLS()
		others.Go(func() { s.keepCerts(viewCtx) })
	}
	private := s.httpServer(viewCtx, s.adminHandler())
	s.serveHTTP(public, s.http, false, &others, failed)
	s.serveHTTP(public, s.https, true, &others, failed)
	s.serveHTTP(private, s.admin, false, &others, failed)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.log.Info("shutting down")
	stopIngest()
	publishers.Wait()
	s.rtmpServer.Wait()
	s.hub.Close() // streams end, and with them what follows them

	graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	var ending sync.WaitGroup
	ending.Go(func() { s.chat.Shutdown(graceful) })
	for _, h := range []*http.Server{public, private} {
		ending.Go(func() {
			if h.Shutdown(graceful) != nil {
				h.Close()
			}
		})
	}
	stopLate := context.AfterFunc(graceful, stopViewers)
	defer stopLate()
	s.origin.WaitViewers()
	ending.Wait()
	stopViewers()
	others.Wait()
	stopTelling()
	told.Wait()
	s.closeData()
	s.log.Info("ended")
	return err
}

func (s *server) ingestListeners() []ingest.Listener {
	var all []ingest.Listener
	for _, l := range []*rtmp.Listener{s.rtmp, s.rtmps} {
		if l != nil {
			all = append(all, l)
		}
	}
	if s.srt != nil {
		all = append(all, s.srt)
	}
	for _, f := range s.files {
		all = append(all, f)
	}
	return all
}

func (s *server) adminHandler() http.Handler {
	return s.peers.Handler(admin.New(s.config.Admin, admin.Sources{
		Doors:     s.adminDoors(),
		Hub:       s.hub,
		Publisher: s.publisher,
		Kick:      s.ingest.Kick,
		Ended:     s.ended,
		Chat:      s.chat.API(),
		Metrics:   s.metrics(),
	}, s.log))
}

func (s *server) publisher(key streamkey.Key) *admin.Publisher {
	p, ok := s.ingest.Publishing(key)
	if !ok {
		return nil
	}
	a := &admin.Publisher{Protocol: p.Protocol, Remote: p.RemoteAddr, Since: p.Since.UTC()}
	if t := p.Transport; t != nil {
		a.Transport = &admin.Transport{
			LatencyMillis: millis(t.Latency), RTTMillis: millis(t.RTT), BufferedMillis: millis(t.Buffered),
			Packets: t.Packets, Lost: t.Lost, Retransmitted: t.Retransmitted, Dropped: t.Dropped,
			Faults: t.Faults, Ignored: t.Ignored,
		}
	}
	for r, n := range p.Repairs {
		if a.Repairs == nil {
			a.Repairs = map[string]uint64{}
		}
		a.Repairs[r.String()] = n
	}
	return a
}

// millis is in milliseconds, to a hundredth.
func millis(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func (s *server) ended() []admin.EndedPublisher {
	var all []admin.EndedPublisher
	for _, e := range s.ingest.Recent() {
		all = append(all, admin.EndedPublisher{
			Stream: e.Key.String(), Protocol: e.Protocol, Remote: e.RemoteAddr, At: e.At.UTC(), Admitted: e.Admitted,
			Reason: string(e.Reason), Error: e.Error, Frames: e.Frames, Bytes: e.Bytes,
		})
	}
	return all
}
