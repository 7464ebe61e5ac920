package peer

import (
	"testing"
	"time"
)

// TestPeersDoNotFillTheLog, and none is forgotten.
func TestPeersDoNotFillTheLog(t *testing.T) {
	var l Lines
	now := time.Unix(1e9, 0)
	logged, told := 0, uint64(0)
	for i := range 60_000 { // a thousand a second, for a minute
		if ok, passed := l.Take(now.Add(time.Duration(i) * time.Millisecond)); ok {
			logged++
			told += passed
			if i < lineBurst && passed != 0 {
				t.Errorf("%d: %d passed over", i, passed)
			}
		}
	}
	if most := lineBurst + 60*lineRate; logged < most-1 || logged > most+1 || uint64(logged)+told+l.passed != 60_000 {
		t.Errorf("%d logged, %d told, %d to be told", logged, told, l.passed)
	}
}
