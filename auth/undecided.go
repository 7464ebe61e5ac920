package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// undecidedLog is how many seconds the log says nothing more of requests that could
// not be decided, once it has spoken of one: whoever likes can make many.
const undecidedLog = 10

// Undecided logs requests that could not be decided, now and then.
type Undecided struct {
	logged atomic.Int64 // when it was last, in Unix seconds
	passed atomic.Uint64
}

// Log says why a request could not be decided, unless that was said just now or its
// peer has gone.
func (u *Undecided) Log(log *slog.Logger, what string, err error, attrs ...any) {
	if errors.Is(err, context.Canceled) {
		return
	}
	now, last := time.Now().Unix(), u.logged.Load()
	if now-last < undecidedLog || !u.logged.CompareAndSwap(last, now) {
		u.passed.Add(1)
		return
	}
	if n := u.passed.Swap(0); n > 0 {
		attrs = append(attrs, "unlogged", n)
	}
	log.Error(what, append(attrs, "err", err)...)
}
