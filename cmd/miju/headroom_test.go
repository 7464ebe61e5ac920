package main

import "testing"

// TestHeadroom: where there is something to do garbage may gather, but not
// without bound, and not to and fro.
func TestHeadroom(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name   string
		before int
		share  float64
		live   uint64
		want   int
	}{
		{"at first", 0, 0, 0, gcPercent},
		{"little to do", gcPercent, roomShare * 0.9, 100 * mb, gcPercent},
		{"busy", gcPercent, roomShare * 1.1, 100 * mb, roomPercent},
		{"a little less busy", roomPercent, roomShare * 0.9, 100 * mb, roomPercent},
		{"quiet again", roomPercent, roomShare * 0.4, 100 * mb, gcPercent},
		{"busy with much", gcPercent, 1, 256 * mb, 100},
		{"busy with a little more", 100, 1, 257 * mb, 90},
		{"busy with very much", gcPercent, 1, 10_000 * mb, gcPercent},
		{"busy with nothing", gcPercent, 1, 0, roomPercent},
	} {
		h := headroom{percent: c.before}
		if got := h.next(load{share: c.share}, c.live); got != c.want {
			t.Errorf("%s: %d %%, want %d", c.name, got, c.want)
		}
	}
}
