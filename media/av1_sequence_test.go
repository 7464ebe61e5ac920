package media

import "testing"

func TestNumbersThatEndWithTheirBytes(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want uint64
		err  bool
	}{
		{"no bits behind the one", []byte{0x01}, 1<<7 - 1, true}, // seven zeros want seven more
		{"0 in the last bit", []byte{0xff}, 0, false},
		{"1", []byte{0x40}, 1, false},
		{"zeros only", []byte{0, 0, 0, 0}, 1<<32 - 1, false},
		{"nothing", nil, 1<<32 - 1, true},
	} {
		r := &bitReader{b: c.b}
		if c.name == "0 in the last bit" {
			r.pos = 7
		}
		if got := r.uvlc(); got != c.want || (r.err != nil) != c.err {
			t.Errorf("%s: %d, %v", c.name, got, r.err)
		}
	}
}
