package chatws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/miju-live/miju/auth"
)

const (
	// hooksAtOnce is how many messages may wait for the hook over all rooms.
	hooksAtOnce = 256
	// maxHookAnswer bounds its answer, in bytes.
	maxHookAnswer = 64 << 10
)

// HookConfig is the application's say in each message.
type HookConfig struct {
	URL     string        `flag:"chat-hook" group:"chat" help:"URL that is asked by POST whether a chat message may be said; empty: none is asked"`
	Timeout time.Duration `flag:"chat-hook-timeout" group:"chat" help:"how long the answer of --chat-hook may take" min:"10ms" max:"30s"`
	Fail    string        `flag:"chat-hook-fail" group:"chat" help:"what becomes of a message when --chat-hook does not answer: open lets it through, closed refuses it"`
}

var errHook = errors.New("chat hook")

func (c HookConfig) check() error {
	if c.Fail != "open" && c.Fail != "closed" {
		return fmt.Errorf("%w: --chat-hook-fail is %q, it may be open or closed", errHook, c.Fail)
	}
	if c.URL == "" {
		return nil
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: --chat-hook must be a URL of http or https", errHook)
	}
	return nil
}

// question is what the hook is asked.
type question struct {
	Room    string    `json:"room"`
	User    User      `json:"user"`
	Role    auth.Role `json:"role"`
	Address string    `json:"address,omitempty"`
	Text    string    `json:"text"`
}

// verdict is what it answers.
type verdict struct {
	Allow *bool `json:"allow"`
	// Text, if there is any, is said instead.
	Text string `json:"text"`
	// Message is why not, for the sender.
	Message string `json:"message"`
}

type hook struct {
	config HookConfig
	client *http.Client
	slots  chan struct{}
}

func newHook(c HookConfig) *hook {
	if c.URL == "" {
		return nil
	}
	return &hook{
		config: c, slots: make(chan struct{}, hooksAtOnce),
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: hooksAtOnce, MaxConnsPerHost: hooksAtOnce, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close lets go of connections.
func (h *hook) close() {
	if h != nil {
		h.client.CloseIdleConnections()
	}
}

// ask returns what the hook says of a message.
func (h *hook) ask(ctx context.Context, q question) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, h.config.Timeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return verdict{}, fmt.Errorf("%w: too many messages wait for it", errHook)
	}
	body, err := json.Marshal(q)
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errHook, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.config.URL, bytes.NewReader(body))
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errHook, err)
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := h.client.Do(r)
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errHook, err)
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(w.Body, maxHookAnswer+1))
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errHook, err)
	}
	var v verdict
	switch {
	case w.StatusCode != http.StatusOK:
		return verdict{}, fmt.Errorf("%w: status %d", errHook, w.StatusCode)
	case len(answer) > maxHookAnswer:
		return verdict{}, fmt.Errorf("%w: an answer of more than %d bytes", errHook, maxHookAnswer)
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return verdict{}, fmt.Errorf("%w: %w", errHook, err)
	}
	if v.Allow == nil {
		return verdict{}, fmt.Errorf("%w: an answer without allow", errHook)
	}
	return v, nil
}

// decide asks the hook, which there is, whether m may say text, and returns what is said. It
// waits; nothing else of m's is obeyed meanwhile, so that its messages keep
// their order.
func (m *member) decide(text string) (string, error) {
	s := m.server
	q := question{Room: m.key.String(), User: m.identity, Role: m.role, Text: text}
	if m.address.IsValid() {
		q.Address = m.address.String()
	}
	ctx, cancel := m.deciding(context.Background(), s.config.Hook.Timeout)
	defer cancel()
	v, err := s.hook.ask(ctx, q)
	switch {
	case err != nil && m.out.isClosing():
		return "", nil // nobody waits for the answer
	case err != nil && s.config.Hook.Fail == "open":
		s.hookFailed(err)
		return text, nil
	case err != nil:
		s.hookFailed(err)
		return "", refuseFor(2*time.Second, CodeUnavailable, "it cannot be decided now what may be said")
	case !*v.Allow && v.Message == "":
		return "", refuse(CodeRefused, "this may not be said")
	case !*v.Allow:
		return "", refuse(CodeRefused, "%.200s", v.Message)
	case v.Text == "":
		return text, nil
	}
	return cleanText(v.Text, s.config.MaxText)
}

// hookFailed counts and logs, but not once a message.
func (s *Server) hookFailed(err error) {
	s.hookFailures.Add(1)
	now := time.Now().Unix()
	if last := s.hookLogged.Load(); now-last >= 60 && s.hookLogged.CompareAndSwap(last, now) {
		s.log.Error("the chat hook fails", "then", s.config.Hook.Fail, "err", err)
	}
}
