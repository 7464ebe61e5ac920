package main

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest/srt"
	"github.com/miju-live/miju/peer"
)

// openDoors makes what decides of the settings. fresh is true if the secret that
// signs tokens was made just now.
func openDoors(c config, keys auth.Keys, log *slog.Logger) (doors *auth.Doors, secret []byte, fresh bool, err error) {
	if c.Data.Dir != "" {
		if secret, fresh, err = auth.OpenSecret(c.Data.Dir); err != nil {
			return nil, nil, false, fmt.Errorf("the secret that signs tokens: %w", err)
		}
	}
	proxies, err := peer.ParseNetworks(c.Peers.Trusted)
	if err != nil {
		return nil, nil, false, err
	}
	doors, err = auth.New(c.Auth, auth.Options{Secret: secret, Keys: keys, Dir: c.Data.Dir, Proxied: c.proxied(), Proxies: proxies, Log: log})
	if err == nil && !doors.CanVerify() {
		err = c.needsToken()
	}
	return doors, secret, fresh, err
}

// listenSRT opens the port of SRT, whose callers may prove by a passphrase who they
// are.
func (s *server) listenSRT() (*srt.Listener, error) {
	if s.doors == nil {
		return srt.Listen(s.config.SRT)
	}
	return srt.ListenWith(s.config.SRT, s.doors.Passphrases)
}

// proxied says that a proxy is trusted to say who its peers are.
func (c *config) proxied() bool { return c.Peers.Trusted != "" }

// needsToken returns which door nobody could get through, if no token can be
// verified.
func (c *config) needsToken() error {
	const why = "needs tokens, and there is nothing to verify one by: set --data-dir or --jwks-url"
	switch {
	case c.operatorsNeedToken() && c.proxied():
		return fmt.Errorf("--admin %s with --trusted-proxy, which may bring anybody, %s", c.Admin.Listen, why)
	case c.operatorsNeedToken():
		return fmt.Errorf("--admin %s is no loopback address, so it %s", c.Admin.Listen, why)
	case c.Auth.Publish == auth.ByToken && c.Auth.SignPublish == "":
		return fmt.Errorf("--publish-auth %s %s", auth.ByToken, why)
	case c.Auth.Play == auth.ByToken && c.Auth.SignPlay == "":
		return fmt.Errorf("--play-auth %s %s", auth.ByToken, why)
	case c.Auth.Chat == auth.ByToken:
		return fmt.Errorf("--chat-auth %s %s", auth.ByToken, why)
	}
	return nil
}

// doorsSentence says at start who may publish, and which other doors are closed.
func (s *server) doorsSentence() string {
	sentence := s.publishSentence()
	for _, d := range []struct{ what, value, action string }{{"Playing", s.config.Auth.Play, "play"}, {"The chat", s.config.Auth.Chat, "chat"}} {
		switch d.value {
		case auth.ByToken:
			sentence += fmt.Sprintf("\n               %s needs a token (--%s-auth %s): miju token --key live/NAME --%[2]s", d.what, d.action, d.value)
		case auth.ByHook:
			sentence += fmt.Sprintf("\n               %s is for the application to decide (--%s-auth %s).", d.what, d.action, d.value)
		}
	}
	return sentence
}

func (s *server) publishSentence() string {
	switch c := &s.config; {
	case c.Auth.Publish == auth.ByNobody:
		return "Everybody who reaches this server may publish (--publish-auth open)."
	case c.Auth.Publish == auth.ByHook:
		return "The application decides who may publish (--publish-auth hook)."
	case c.Auth.Publish == auth.NoneFromLoopback && !c.proxied():
		return "Publishing needs a token, but for encoders on this machine (--publish-auth none-from-loopback)."
	case c.Auth.Publish == auth.NoneFromLoopback:
		return "Publishing needs a token, from this machine too since a proxy is trusted (--trusted-proxy)."
	}
	return "Publishing needs a token (--publish-auth token)."
}

// firstKey is the stream of the key that the first start prints, and
// firstLife how long it is good.
const (
	firstKey  = "my-stream"
	firstLife = 30 * 24 * time.Hour
)

// firstStart is what to paste into OBS on another machine, once the secret has
// just been made; empty at later starts.
func (s *server) firstStart() string {
	if !s.fresh || s.rtmp == nil || s.config.Auth.Publish == auth.ByNobody || s.config.Auth.Publish == auth.ByHook {
		return ""
	}
	claims, err := tokenRequest{keys: "live/" + firstKey, publish: true, sub: firstKey, expires: firstLife.String()}.claims(time.Now())
	if err != nil {
		return ""
	}
	token, err := auth.Mint(s.secret, claims)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(`  First start: this is for OBS on another machine, good for %d days
                 Server      rtmp://%s/live
                 Stream key  %s?token=%s
               More of them: miju token --key live/NAME --publish --expires 720h

`, int(firstLife.Hours()/24), fromElsewhere(s.rtmp.Addr()), firstKey, token)
}

// fromElsewhere is an address as another machine can write it, if this one has
// an address that others reach.
func fromElsewhere(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return reachable(a)
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return reachable(a)
	}
	for _, o := range own {
		if n, ok := o.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return net.JoinHostPort(n.IP.String(), port)
		}
	}
	return reachable(a)
}
