package origin

import (
	"context"
	"sync"
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
