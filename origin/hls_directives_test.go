package origin

import (
	"errors"
	"testing"
)

var directiveCases = []struct {
	name, query string
	want        directives
	bad         bool
}{
	{"nothing", "", directives{msn: -1, part: -1}, false},
	{"what is not ours", "token=%zz&&=&x", directives{msn: -1, part: -1}, false},
	{"a segment", "_HLS_msn=7", directives{any: true, msn: 7, part: -1}, false},
	{"a part, beside a token", "token=a&_HLS_msn=7&_HLS_part=0", directives{any: true, msn: 7, part: 0}, false},
	{"a part before its segment", "_HLS_part=3&_HLS_msn=0", directives{any: true, msn: 0, part: 3}, false},
	{"a delta update", "_HLS_skip=YES", directives{any: true, msn: -1, part: -1, skip: true}, false},
	{"a delta update with date ranges", "_HLS_msn=1&_HLS_skip=v2", directives{any: true, msn: 1, part: -1, skip: true}, false},
	{"a directive of the future", "_HLS_later=1", directives{any: true, msn: -1, part: -1}, false},
	{"a part of no segment", "_HLS_part=1", directives{}, true},
	{"no number", "_HLS_msn=", directives{}, true},
	{"a negative number", "_HLS_msn=-1", directives{}, true},
	{"a sign", "_HLS_msn=%2B1", directives{}, true},
	{"a fraction", "_HLS_msn=1&_HLS_part=1.5", directives{}, true},
	{"more digits than any stream has", "_HLS_msn=99999999999999999999", directives{}, true},
	{"a part beyond all", "_HLS_msn=1&_HLS_part=99999999", directives{}, true},
	{"the same directive twice", "_HLS_msn=1&_HLS_msn=2", directives{}, true},
	{"a skip of another kind", "_HLS_skip=NO", directives{}, true},
}

func TestParseDirectives(t *testing.T) {
	for _, c := range directiveCases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseDirectives(c.query)
			if c.bad {
				if !errors.Is(err, errDirective) {
					t.Errorf("parseDirectives = %+v, %v", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("parseDirectives = %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func FuzzParseDirectives(f *testing.F) {
	for _, c := range directiveCases {
		f.Add(c.query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		d, err := parseDirectives(query)
		if err != nil {
			if !errors.Is(err, errDirective) {
				t.Errorf("error %v of another kind", err)
			}
			return
		}
		if d.msn < -1 || d.part < -1 || d.part >= 0 && !d.block() || !d.any && (d.block() || d.skip) {
			t.Errorf("%q gives %+v", query, d)
		}
	})
}
