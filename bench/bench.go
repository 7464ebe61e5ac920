// Package bench loads a live-streaming server and its chat from outside and
// reports what its viewers see.
//
// Each kind of load is a function (Push, FLV, HLS, Chat) that takes its Config,
// runs until the time is over or its context ends, and returns a report. What a
// report tells is measured over a window that begins when everybody has begun,
// unless it says otherwise.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNothing is wrapped by errors that mean "no connection worked, so there is
// nothing to report".
var ErrNothing = errors.New("nothing could be measured")

// Load is what all kinds of load have in common.
type Load struct {
	// URL is where the load goes; {i} in it is a number from 1.
	URL      string
	N        int           `flag:"number" short:"n" min:"1" max:"1000000" help:"how many"`
	Duration time.Duration `flag:"duration" short:"d" min:"1s" max:"24h" help:"how long is measured, once all have begun"`
	Ramp     int           `flag:"ramp" min:"1" max:"100000" help:"how many begin each second"`
	PID      string        `flag:"pid" help:"processes of the server on this machine, with commas between: tells their CPU and memory (Linux)"`
	Insecure bool          `flag:"insecure" help:"take any certificate"`
	// Progress, if there is one, is told once a second how things are.
	Progress func(line string)
}

const (
	// beginWait is how long a connection may take to begin.
	beginWait = 15 * time.Second
	// settle is the time between the last one's begin and the window: what a
	// server sends in a hurry at first is no load of every day.
	settle = time.Second
	// number stands for a number in a URL.
	number = "{i}"
)

// crowd is one kind of load.
type crowd interface {
	// member is number i of the load, from 0, until it ends or ctx does. It
	// calls began once, when it has begun or has failed to.
	member(ctx context.Context, i int, began func())
	// active is how many are there now: those whose member has returned, too.
	active() int
	// begin and end are the ends of the window; begin forgets what was before.
	begin()
	end()
	// status is the line of progress, without the time.
	status() string
}

// run runs a crowd, and returns what was measured beside it. It ends when the
// time is over, when ctx ends, or when nobody is there any more.
func (l *Load) run(ctx context.Context, c crowd) (w measured, err error) {
	pids, err := ParsePIDs(l.PID)
	if err != nil {
		return w, err
	}
	m, err := newMeter(pids)
	if err != nil {
		return w, err
	}
	defer m.close()
	// An interrupt ends the window first, and then those who are counted in it.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()

	var begun atomic.Int64
	everybody := make(chan struct{})
	all.Go(func() {
		start := time.Now()
		for i := range l.N {
			if !sleep(working, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(l.Ramp)))) {
				return
			}
			all.Go(func() {
				c.member(working, i, sync.OnceFunc(func() {
					if begun.Add(1) == int64(l.N) {
						close(everybody)
					}
				}))
			})
		}
	})
	ramp := time.Duration(l.N)*time.Second/time.Duration(l.Ramp) + beginWait + settle
	if l.wait(ctx, c, "starting", ramp, everybody) && c.active() > 0 && l.wait(ctx, c, "starting", settle, nil) {
		m.begin()
		c.begin()
		l.wait(ctx, c, "", l.Duration, nil)
	}
	w = m.end(max(c.active(), 1))
	c.end()
	return w, nil
}

// wait waits for a time, or for done; false if ctx ended. It tells the progress,
// and it waits no longer for a crowd of which nobody is left.
func (l *Load) wait(ctx context.Context, c crowd, what string, d time.Duration, done <-chan struct{}) bool {
	began := time.Now()
	over := time.NewTimer(d)
	defer over.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return true
		case <-over.C:
			return true
		case <-second.C:
		}
		passed := time.Since(began).Round(time.Second)
		if l.Progress != nil && what != "" {
			l.Progress(fmt.Sprintf("%s, %v: %s", what, passed, c.status()))
		} else if l.Progress != nil {
			l.Progress(fmt.Sprintf("%v of %v: %s", passed, d, c.status()))
		}
		if done == nil && c.active() == 0 {
			return true
		}
	}
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// target is the URL of stream i, counted from 0.
func (l *Load) target(i int) (*url.URL, error) {
	u, err := url.Parse(strings.ReplaceAll(l.URL, number, strconv.Itoa(i+1)))
	if err != nil {
		return nil, fmt.Errorf("URL: %w", withoutURL(err))
	}
	if u.Host == "" {
		return nil, errors.New("URL without a host")
	}
	return u, nil
}

// withoutURL is why a URL is wrong, without the URL, in which there may be a
// token.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// targets are the URLs of so many streams. All must be of one of the schemes.
func (l *Load) targets(streams int, schemes ...string) ([]*url.URL, error) {
	if streams > 1 && !strings.Contains(l.URL, number) {
		return nil, fmt.Errorf("%d streams need %s in the URL, where the number of each goes", streams, number)
	}
	all := make([]*url.URL, streams)
	for i := range all {
		u, err := l.target(i)
		if err != nil {
			return nil, err
		}
		known := false
		for _, s := range schemes {
			known = known || u.Scheme == s
		}
		if !known {
			return nil, fmt.Errorf("URL begins with %q, it must be one of %s", u.Scheme, strings.Join(schemes, ", "))
		}
		all[i] = u
	}
	return all, nil
}

// check checks what bounds tags cannot.
func (l *Load) check() error {
	if l.N < 1 || l.Ramp < 1 || l.Duration <= 0 {
		return errors.New("-n, -d and --ramp must be more than 0")
	}
	return nil
}

// shown is the URL without what may be secret in it.
func (l *Load) shown() string {
	s, _, _ := strings.Cut(l.URL, "?")
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			rest = rest[i+1:]
		}
		s = scheme + "://" + rest
	}
	return s
}
