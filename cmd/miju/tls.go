package main

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// tlsConfig is the certificate of every listener that speaks TLS.
type tlsConfig struct {
	Cert string `flag:"tls-cert" group:"network" help:"PEM file of the server's certificate and those that issued it, for --rtmps and --https"`
	Key  string `flag:"tls-key" group:"network" help:"PEM file of the certificate's private key"`
}

var errNoCertificate = errors.New("it needs a certificate: set --tls-cert and --tls-key")

// load reads the files.
func (c tlsConfig) load() (*tls.Config, error) {
	if c.Cert == "" || c.Key == "" {
		return nil, errNoCertificate
	}
	certificate, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.Cert, c.Key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
}
