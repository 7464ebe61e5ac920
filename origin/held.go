package origin

import (
	"context"
	"sync"

	"github.com/miju-live/miju/auth"
)

// held finds viewers of answers without an end by the credential that permits them.
type held struct {
	mu  sync.Mutex
	all map[string]map[int]context.CancelCauseFunc
	// next tells viewers of one credential apart.
	next int
}

// add has end called when the credential ends, until the function is called that
// it returns.
func (h *held) add(credential string, end context.CancelCauseFunc) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]map[int]context.CancelCauseFunc{}
	}
	if h.all[credential] == nil {
		h.all[credential] = map[int]context.CancelCauseFunc{}
	}
	id := h.next
	h.next++
	h.all[credential][id] = end
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(h.all[credential], id); len(h.all[credential]) == 0 {
			delete(h.all, credential)
		}
	}
}

// granted is what a viewer of an answer without an end may have. It stands in its
// request's context, for whoever takes it over from the request's handler.
type granted struct {
	auth.Grant
	detached bool
}

type grantedKey struct{}

// while returns a context that ends with what g permits, to be released.
func (s *Server) while(ctx context.Context, g auth.Grant) (_ context.Context, release func()) {
	ctx, end := context.WithCancelCause(ctx)
	forget := func() {}
	if g.Credential != "" {
		forget = s.held.add(g.Credential, end)
	}
	stop := func() {}
	if !g.Expires.IsZero() {
		ctx, stop = context.WithDeadlineCause(ctx, g.Expires, auth.ErrExpired)
	}
	return ctx, func() {
		forget()
		stop()
		end(nil)
	}
}

// EndCredential ends the viewers of FLV and MPEG-TS that a credential permits.
// Those of HLS are asked with each request.
func (s *Server) EndCredential(credential string, why error) {
	h := &s.held
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, end := range h.all[credential] {
		end(why)
	}
}
