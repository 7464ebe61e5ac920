package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miju-live/miju/peer"
)

// ErrWrong refuses a credential that cannot have been given out by anybody, as
// whoever guesses brings: no right signature, a key or a password that nobody has.
// It wraps ErrUnauthenticated.
var ErrWrong = fmt.Errorf("%w", ErrUnauthenticated)

// ErrPaused is wrapped by the refusal of a credential that was not looked at, since
// too many of its address were wrong. It wraps ErrDenied; PauseOf says for how long.
var ErrPaused = fmt.Errorf("%w", ErrDenied)

// paused is an ErrPaused.
type paused struct{ wait time.Duration }

// Error says when to come back, in whole seconds.
func (p *paused) Error() string {
	return fmt.Sprintf("%v: too many wrong credentials came from this address, come back in %d s", ErrPaused, p.seconds())
}

// Unwrap returns ErrPaused.
func (p *paused) Unwrap() error { return ErrPaused }

func (p *paused) seconds() int { return int((p.wait + time.Second - 1) / time.Second) }

// PauseOf returns for how many seconds an ErrPaused refuses, at least 1.
func PauseOf(err error) int {
	var p *paused
	if errors.As(err, &p) {
		return max(1, p.seconds())
	}
	return 1
}

const (
	// The pause after one wrong credential too many, which doubles with each
	// further one up to the longest: nobody locks others behind the same address
	// out for longer.
	firstPause, longestPause = time.Second, 30 * time.Second
	// attemptsKept is after how long without a wrong credential an address is
	// forgotten.
	attemptsKept = 10 * time.Minute
	// maxAttempts bounds the addresses that are remembered; each takes about 100
	// bytes.
	maxAttempts = 16384
	// evictionSample is among how many the one that was quiet the longest goes
	// when there are too many.
	evictionSample = 8
)

// Attempts counts the wrong credentials of each address (IPv6: of one /64), apart
// for each action, and has addresses pause that bring too many. A nil Attempts
// lets everybody try.
type Attempts struct {
	free   int // wrong ones that cost nothing
	exempt peer.Networks
	now    func() time.Time

	known   atomic.Int64 // addresses
	refused atomic.Uint64
	mu      sync.Mutex
	all     map[attempter]*attempt
}

type attempter struct {
	customer netip.Prefix
	action   Action
}

type attempt struct {
	wrong       int
	last, until time.Time
}

// NewAttempts returns Attempts that let an address be wrong so many times. It does
// not go for this machine, nor for proxies that do not say who is behind them.
func NewAttempts(free int, exempt peer.Networks) *Attempts {
	if free <= 0 {
		return nil
	}
	return &Attempts{free: free, exempt: exempt, now: time.Now, all: map[attempter]*attempt{}}
}

// May returns an ErrPaused if remote, an address with or without a port, must wait
// before it may try anything for an action.
func (a *Attempts) May(action Action, remote string) error {
	wait := a.pause(action, remote)
	if wait <= 0 {
		return nil
	}
	a.refused.Add(1)
	return &paused{wait}
}

// pause returns for how long remote must wait.
func (a *Attempts) pause(action Action, remote string) time.Duration {
	if a == nil || a.known.Load() == 0 {
		return 0
	}
	key, ok := a.key(action, remote)
	if !ok {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.all[key]; x != nil {
		return x.until.Sub(a.now())
	}
	return 0
}

// Wrong notes that remote has brought a wrong credential.
func (a *Attempts) Wrong(action Action, remote string) {
	if a == nil {
		return
	}
	key, ok := a.key(action, remote)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	x := a.all[key]
	if x == nil || now.Sub(x.last) > attemptsKept {
		if x == nil && len(a.all) >= maxAttempts {
			a.evict()
		}
		x = &attempt{}
		a.all[key] = x
		a.known.Store(int64(len(a.all)))
	}
	x.wrong, x.last = x.wrong+1, now
	if over := x.wrong - a.free; over > 0 {
		x.until = now.Add(min(firstPause<<min(over-1, 10), longestPause))
	}
}

// Right forgets what was wrong before.
func (a *Attempts) Right(action Action, remote string) {
	if a == nil || a.known.Load() == 0 {
		return
	}
	if key, ok := a.key(action, remote); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.all, key)
		a.known.Store(int64(len(a.all)))
	}
}

// Refused returns how many credentials were not looked at.
func (a *Attempts) Refused() uint64 {
	if a == nil {
		return 0
	}
	return a.refused.Load()
}

// evict makes room for one more: of a few, the one that was quiet the longest
// goes. The caller holds the lock.
func (a *Attempts) evict() {
	var oldest attempter
	var last time.Time
	n := 0
	for key, x := range a.all {
		if n == 0 || x.last.Before(last) {
			oldest, last = key, x.last
		}
		if n++; n == evictionSample {
			break
		}
	}
	delete(a.all, oldest)
}

func (a *Attempts) key(action Action, remote string) (attempter, bool) {
	address := peer.Address(remote)
	if !address.IsValid() || address.IsLoopback() || a.exempt.Contain(address) {
		return attempter{}, false
	}
	if action == Moderate {
		action = Chat
	}
	return attempter{peer.Customer(address), action}, true
}
