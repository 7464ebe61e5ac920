package auth

import (
	"crypto/sha256"
	"sync"
)

// maxVerdicts is how many tokens are known by their verdicts; each takes about
// a kilobyte.
const maxVerdicts = 16384

// verdicts remembers tokens whose signature was right, by their hash, so that
// neither a part nor a reload checks one again. The older half goes when the
// younger one is full; what is asked for moves to the younger one.
type verdicts struct {
	most       int // of each half
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*verdict
}

func newVerdicts(most int) *verdicts {
	return &verdicts{most: most / 2, young: map[[sha256.Size]byte]*verdict{}}
}

func (c *verdicts) get(id [sha256.Size]byte) *verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.young[id]; v != nil {
		return v
	}
	v := c.old[id]
	if v != nil {
		c.add(id, v)
	}
	return v
}

func (c *verdicts) put(id [sha256.Size]byte, v *verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(id, v)
}

func (c *verdicts) add(id [sha256.Size]byte, v *verdict) {
	if len(c.young) >= c.most {
		c.young, c.old = map[[sha256.Size]byte]*verdict{}, c.young
	}
	c.young[id] = v
}
