package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/miju-live/miju/certs"
)

// tlsConfig is the certificate of every listener that speaks TLS.
type tlsConfig = certs.Config

// checkTLS reports what is wrong with the certificate, if one is needed or given.
func (c *config) checkTLS() error {
	secure := false
	for flag, addr := range map[string]string{"rtmps": c.RTMP.ListenTLS, "https": c.HTTP.ListenTLS} {
		if addr == "" {
			continue
		}
		secure = true
		if err := c.TLS.Check(); err != nil {
			return fmt.Errorf("--%s is %s: %w", flag, addr, err)
		}
	}
	if c.TLS.Given() {
		if err := c.TLS.Check(); err != nil {
			return err
		}
	}
	switch {
	case c.TLS.Domains == "":
		return nil
	case !secure:
		return errors.New("--acme-domain is set, but there is nothing to use a certificate for: set --https or --rtmps")
	case c.HTTP.Listen == "" && c.HTTP.ListenTLS == "":
		return errors.New("--acme-domain needs --http or --https, by which the authority asks")
	case c.Data.Dir == "":
		return errors.New("--acme-domain needs --data-dir, to keep certificates in")
	}
	return nil
}

// openCerts opens the certificate if there is a listener for it.
func openCerts(c config, log *slog.Logger) (*certs.Source, error) {
	if c.RTMP.ListenTLS == "" && c.HTTP.ListenTLS == "" {
		return nil, nil
	}
	return certs.Open(c.TLS, c.Data.Dir, log)
}

// keepCerts renews certificates until ctx ends. Files are read at SIGHUP too.
func (s *server) keepCerts(ctx context.Context) {
	if s.config.TLS.Domains == "" { // else a hangup means what it always does
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		done := make(chan struct{})
		defer func() { <-done }()
		go func() {
			defer close(done)
			for {
				select {
				case <-hangup:
					s.certs.Reload()
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	s.certs.Run(ctx, addrOf(s.http), addrOf(s.https))
}

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// collectTLS writes how the certificate does.
func (c collector) collectTLS(m metricWriter) {
	if c.certs == nil {
		return
	}
	st := c.certs.Stats()
	if !st.Expires.IsZero() {
		m.gauge("miju_tls_certificate_expires_timestamp_seconds", "When the certificate of TLS ends, the first of them if there are several, in Unix seconds.", float64(st.Expires.Unix()))
	}
	m.counter("miju_tls_certificates_renewed_total", "Certificates of TLS that took the place of others.", st.Renewed)
	m.counter("miju_tls_certificate_failures_total", "New certificates of TLS that were no good, or were not to be had.", st.Failed)
}
