package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/miju-live/miju/admin"
	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/certs"
	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/chatws"
	"github.com/miju-live/miju/hooks"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/ingest/rtmp"
	"github.com/miju-live/miju/ingest/srt"
	"github.com/miju-live/miju/origin"
	"github.com/miju-live/miju/peer"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// config nests the settings of every package; each describes its own.
type config struct {
	RTMP   rtmp.Config
	SRT    srt.Config
	HTTP   httpConfig
	TLS    tlsConfig
	Admin  admin.Config
	Peers  peer.Config
	Auth   auth.Config
	Hooks  hooks.Config
	Ingest ingest.Config
	Files  fileConfig
	Data   dataConfig
	Stream stream.Config
	Origin origin.Config
	Chat   chatws.Config
	Store  chatstore.Config
	Log    logConfig
}

type fileConfig struct {
	Demo bool   `flag:"demo" group:"publishing" help:"play a short clip as live/demo"`
	File string `flag:"file" group:"publishing" help:"play FLV files in a loop: live/a=/clips/a.flv,live/b=/clips/b.flv"`
}

type dataConfig struct {
	Dir string `flag:"data-dir" group:"limits" help:"directory of what must outlive a restart (secrets, stream keys, the chat, certificates) or does not fit into memory; it belongs to one server. Empty: nothing is written"`
}

type logConfig struct {
	Level  string `flag:"log-level" group:"logging" help:"debug, info, warn or error"`
	Format string `flag:"log-format" group:"logging" help:"text or json"`
}

func defaultConfig() config {
	return config{
		RTMP:   rtmp.DefaultConfig(),
		SRT:    srt.DefaultConfig(),
		HTTP:   httpConfig{Listen: ":8080"},
		TLS:    certs.DefaultConfig(),
		Admin:  admin.DefaultConfig(),
		Peers:  peer.DefaultConfig(),
		Auth:   auth.DefaultConfig(),
		Hooks:  hooks.DefaultConfig(),
		Ingest: ingest.DefaultConfig(),
		Data:   dataConfig{Dir: "data"},
		Stream: stream.DefaultConfig(),
		Origin: origin.DefaultConfig(),
		Chat:   chatws.DefaultConfig(),
		Store:  chatstore.DefaultConfig(),
		Log:    logConfig{Level: "info", Format: "text"},
	}
}

// validate checks what can be wrong before anything is started.
func (c *config) validate() error {
	if err := checkRanges(c); err != nil {
		return err
	}
	if err := c.Ingest.Check(); err != nil {
		return err
	}
	if err := c.SRT.Check(); err != nil {
		return err
	}
	if err := c.Origin.Check(); err != nil {
		return err
	}
	if err := c.Peers.Check(); err != nil {
		return err
	}
	if err := c.Chat.Check(); err != nil {
		return err
	}
	if err := c.Store.Check(); err != nil {
		return err
	}
	if err := c.Auth.Check(); err != nil {
		return err
	}
	if err := c.checkHooks(); err != nil {
		return err
	}
	if c.Data.Dir == "" && c.Auth.JWKS == "" {
		if err := c.needsToken(); err != nil {
			return err
		}
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if _, err := c.Log.logger(); err != nil {
		return err
	}
	if _, err := c.Files.clips(); err != nil {
		return err
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	if c.RTMP.Listen == "" && c.RTMP.ListenTLS == "" && c.SRT.Listen == "" && c.HTTP.Listen == "" && c.HTTP.ListenTLS == "" {
		return fmt.Errorf("--rtmp, --rtmps, --srt, --http and --https are all empty: there is nothing to serve")
	}
	return nil
}

// checkAddresses finds those that nobody can listen on, before anybody tries.
func (c *config) checkAddresses() error {
	for _, l := range []struct{ flag, at string }{
		{"rtmp", c.RTMP.Listen},
		{"rtmps", c.RTMP.ListenTLS},
		{"srt", c.SRT.Listen},
		{"http", c.HTTP.Listen},
		{"https", c.HTTP.ListenTLS},
		{"admin", c.Admin.Listen},
	} {
		if _, port, err := net.SplitHostPort(l.at); l.at != "" && (err != nil || port == "") {
			return fmt.Errorf("--%s is %q, it must be like :8080, 127.0.0.1:8080 or [::1]:8080", l.flag, l.at)
		}
	}
	return nil
}

func (c logConfig) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q, it may be debug, info, warn or error", c.Level)
	}
	o := &slog.HandlerOptions{Level: level}
	switch c.Format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, fmt.Errorf("--log-format is %q, it may be text or json", c.Format)
}

// clip is a file to play on a key.
type clip struct {
	key  streamkey.Key
	path string
}

func (c fileConfig) clips() ([]clip, error) {
	var all []clip
	for part := range strings.SplitSeq(c.File, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, path, ok := strings.Cut(part, "=")
		if !ok || path == "" {
			return nil, fmt.Errorf("--file has %q, it must be like live/a=/clips/a.flv", part)
		}
		key, err := streamkey.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		if info, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		} else if info.IsDir() {
			return nil, fmt.Errorf("--file: %s is a directory", path)
		}
		all = append(all, clip{key, path})
	}
	return all, nil
}
