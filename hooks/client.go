package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxAnswer bounds an answer's body, and maxAnswerHeader its header, in bytes.
	maxAnswer       = 64 << 10
	maxAnswerHeader = 16 << 10
	// dialTimeout and idleTimeout are of connections to the application.
	dialTimeout = 5 * time.Second
	idleTimeout = time.Minute
)

// SignatureHeader has the time and the signature of a request's body.
const SignatureHeader = "Miju-Signature"

// Sign returns the value of SignatureHeader for a body that is sent now:
// t=UNIX,v1=HEX, where HEX is HMAC-SHA256 by secret of UNIX, a dot and the body.
func Sign(secret, body []byte, now time.Time) string {
	t := strconv.FormatInt(now.Unix(), 10)
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// errFailed is wrapped by errors that mean "the application did not answer as it
// must". They show no URL.
var errFailed = errors.New("hook")

// client posts to the application.
type client struct {
	http   *http.Client
	secret []byte // nil: nothing is signed
}

// newClient returns a client with no more than most connections to a host. It
// follows no redirect, knows no proxy and unpacks nothing.
func newClient(most int, secret []byte) *client {
	return &client{secret: secret, http: &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    most,
			MaxConnsPerHost:        most,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// close lets go of connections.
func (c *client) close() { c.http.CloseIdleConnections() }

// post sends a JSON body, and returns the status and the body of the answer. name is
// what it is about.
func (c *client) post(ctx context.Context, at, name string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: the URL is no good", errFailed)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Miju")
	r.Header.Set("Miju-Event", name)
	if c.secret != nil {
		r.Header.Set(SignatureHeader, Sign(c.secret, body, time.Now()))
	}
	w, err := c.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errFailed, withoutURL(err))
	}
	defer w.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(w.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("%w: %w", errFailed, withoutURL(err))
	case len(answer) > maxAnswer:
		return 0, nil, fmt.Errorf("%w: an answer of more than %d bytes", errFailed, maxAnswer)
	}
	return w.StatusCode, answer, nil
}

// withoutURL takes the URL from an error of net/http: it may hold a password.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
