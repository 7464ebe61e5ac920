package bench

import (
	"context"
	"time"
)

// track is where a player is in a rendition.
type track struct {
	*rendition
	fetcher *fetcher

	begun bool
	at    position
	init  resource
	// hinted is what was fetched before a playlist listed it, failed what
	// could not be.
	hinted, failed string
}

// step fetches the next thing that a playlist lists, or has a hint of. It is
// false if there is nothing to do until the next playlist. Errors are counted
// already; a piece that failed is passed over, as players do.
func (t *track) step(ctx context.Context, l *mediaList) (moved bool, err error) {
	parts := l.low() && !t.player.crowd.config.Plain
	if !t.begun {
		t.begin(l, parts)
	}
	p, where := l.at(t.at, parts)
	switch where {
	case behind:
		if l.skipped > 0 && t.at.number >= l.sequence {
			t.mu.Lock()
			t.full = true // an update has left it out: ask for the whole
			t.mu.Unlock()
			return false, nil
		}
		t.player.crowd.jumps.Add(1)
		t.at, _ = l.start(parts)
		return true, nil
	case ahead:
		if !parts || l.hint.uri == "" || l.hint.uri == t.hinted || l.hint.uri == t.failed || t.at != l.wanted() {
			return false, nil
		}
		return false, t.hint(ctx, l.hint)
	}
	if p.init.uri != "" && p.init != t.init {
		t.init = p.init
		if err := t.file(ctx, p.init); err != nil {
			return true, err
		}
	}
	known := p.uri != t.hinted || p.size > 0
	if p.gap {
		t.at = p.next
		t.player.buffer.add(t.index, p.duration, time.Now())
		return true, nil
	}
	if known {
		asked := time.Now()
		if err := t.file(ctx, p.resource); err != nil {
			t.at = p.next
			return true, err
		}
		t.player.crowd.fetched.add(time.Since(asked))
	}
	t.at = p.next
	t.arrived(&p)
	return true, nil
}

// begin begins where the server wants a player to.
func (t *track) begin(l *mediaList, parts bool) {
	var lead time.Duration
	t.at, lead = l.start(parts)
	p, _ := l.at(t.at, parts)
	t.player.buffer.start(t.index, p.date, lead)
	t.begun = true
}

// hint fetches a part that no playlist lists yet; the server answers when it is
// whole. Its length comes with the next playlist.
func (t *track) hint(ctx context.Context, r resource) error {
	err := t.file(ctx, r)
	if err != nil {
		t.failed = r.uri
		return err
	}
	t.hinted = r.uri
	return nil
}

func (t *track) file(ctx context.Context, r resource) error {
	c := t.player.crowd
	c.count(&c.media)
	return c.fail(ctx, t.fetcher.media(ctx, t.url, r))
}

// arrived puts a piece into the buffer, and tells by it how far behind live the
// player is.
func (t *track) arrived(p *piece) {
	now := time.Now()
	ahead, playing := t.player.buffer.add(t.index, p.duration, now)
	if playing {
		t.player.playing(now)
	}
	if t.index != videoRendition || p.date.IsZero() {
		return
	}
	t.player.crowd.edge.add(now.Sub(p.date))
	if playing {
		t.player.crowd.latency.add(now.Sub(p.date.Add(p.duration - ahead)))
	}
}
