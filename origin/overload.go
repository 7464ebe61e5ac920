package origin

import (
	"errors"
	"net/http"
	"time"

	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// overloadRetry says in seconds when to try again: viewers come and go by the
// second, and a refusal costs little.
const overloadRetry = "5"

// overloadLog is how often at most the log speaks of refusals, in seconds: a
// crowd is thousands of them. All are counted.
const overloadLog = 60

// admit takes a place for a viewer of live; it answers the request if there is
// none.
func (s *Server) admit(w http.ResponseWriter, live *stream.Stream) *stream.Viewer {
	viewer, err := live.Admit()
	if err != nil {
		s.overloaded(w, err)
		return nil
	}
	return viewer
}

// admitUncounted reports whether a player of HLS may begin with key; it answers
// the request if not. What is not live, or not any more, has its own answer.
func (s *Server) admitUncounted(w http.ResponseWriter, key streamkey.Key) bool {
	live, err := s.hub.Lookup(key)
	if err != nil {
		return true
	}
	if err = live.AdmitUncounted(); err != nil {
		s.overloaded(w, err)
		return false
	}
	return true
}

// overloaded answers a viewer that was not admitted.
func (s *Server) overloaded(w http.ResponseWriter, err error) {
	code := "overloaded"
	if r, ok := errors.AsType[stream.Refusal](err); ok {
		code = r.String()
	}
	if now, last := time.Now().Unix(), s.overloadLogged.Load(); now-last >= overloadLog && s.overloadLogged.CompareAndSwap(last, now) {
		s.log.Warn("viewers are refused", "reason", code)
	}
	w.Header().Set("Retry-After", overloadRetry)
	s.fail(w, http.StatusServiceUnavailable, code, err.Error())
}
