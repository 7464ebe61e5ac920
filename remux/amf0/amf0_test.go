package amf0_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/miju-live/miju/remux/amf0"
)

// sound holds values with the bytes that both directions must agree on.
var sound = []struct {
	name   string
	wire   string
	values []amf0.Value
}{
	{"nothing", "", nil},
	{"number", "\x00\x3f\xf8\x00\x00\x00\x00\x00\x00", []amf0.Value{amf0.Number(1.5)}},
	{"booleans", "\x01\x01\x01\x00", []amf0.Value{amf0.Boolean(true), amf0.Boolean(false)}},
	{"string", "\x02\x00\x03abc", []amf0.Value{amf0.String("abc")}},
	{"long string", "\x0c\x00\x01\x00\x00" + strings.Repeat("x", 65536), []amf0.Value{amf0.String(strings.Repeat("x", 65536))}},
	{"null and undefined", "\x05\x06", []amf0.Value{amf0.Null{}, amf0.Undefined{}}},
	{"date", "\x0b\x3f\xf0\x00\x00\x00\x00\x00\x00\xff\xfe", []amf0.Value{amf0.Date{Milliseconds: 1, Zone: -2}}},
	{
		"object keeps the order of its properties", "\x03\x00\x01b\x05\x00\x01a\x01\x01\x00\x00\x09",
		[]amf0.Value{amf0.Object{{"b", amf0.Null{}}, {"a", amf0.Boolean(true)}}},
	},
	{
		"a command of ffmpeg", "\x02\x00\x0dreleaseStream\x00\x40\x00\x00\x00\x00\x00\x00\x00\x05\x02\x00\x01x",
		[]amf0.Value{amf0.String("releaseStream"), amf0.Number(2), amf0.Null{}, amf0.String("x")},
	},
	{
		"array by name", "\x08\x00\x00\x00\x01\x00\x06stereo\x01\x01\x00\x00\x09",
		[]amf0.Value{amf0.ECMAArray{{"stereo", amf0.Boolean(true)}}},
	},
	{"array by number", "\x0a\x00\x00\x00\x02\x05\x02\x00\x01*", []amf0.Value{amf0.StrictArray{amf0.Null{}, amf0.String("*")}}},
	{
		"objects in objects", "\x03\x00\x01a\x03\x00\x01b\x06\x00\x00\x09\x00\x00\x09",
		[]amf0.Value{amf0.Object{{"a", amf0.Object{{"b", amf0.Undefined{}}}}}},
	},
}

func TestValuesBothWays(t *testing.T) {
	for _, c := range sound {
		t.Run(c.name, func(t *testing.T) {
			got, err := amf0.Decode([]byte(c.wire))
			if err != nil || !reflect.DeepEqual(got, c.values) {
				t.Errorf("decoded %#v, %v", got, err)
			}
			if wire := amf0.Append(nil, c.values...); string(wire) != c.wire {
				t.Errorf("encoded %q", wire)
			}
		})
	}
}

// lenient holds what some encoders write and this package does not.
var lenient = []struct {
	name  string
	wire  string
	value amf0.Value
}{
	{"an array that counts wrong", "\x08\x00\x00\x00\x00\x00\x01a\x05\x00\x00\x09", amf0.ECMAArray{{"a", amf0.Null{}}}},
	{"an array without its end", "\x08\x00\x00\x00\x01\x00\x01a\x05", amf0.ECMAArray{{"a", amf0.Null{}}}},
	{"a typed object", "\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", amf0.Object{{"a", amf0.Null{}}}},
	{"a document", "\x0f\x00\x00\x00\x02<>", amf0.String("<>")},
	{"the marker for unsupported", "\x0d", amf0.Undefined{}},
	{"a property without a name", "\x03\x00\x00\x05\x00\x00\x09", amf0.Object{{"", amf0.Null{}}}},
	{"a boolean of 0xff", "\x01\xff", amf0.Boolean(true)},
}

func TestOddValuesAreRead(t *testing.T) {
	for _, c := range lenient {
		t.Run(c.name, func(t *testing.T) {
			if got, err := amf0.Decode([]byte(c.wire)); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c.value) {
				t.Errorf("%#v, %v", got, err)
			}
		})
	}
}

var broken = []struct {
	name string
	wire string
	want error
}{
	{"number cut short", "\x00\x00", amf0.ErrMalformed},
	{"boolean cut short", "\x01", amf0.ErrMalformed},
	{"string beyond the end", "\x02\x00\x04abc", amf0.ErrMalformed},
	{"long string of 4 GiB", "\x0c\xff\xff\xff\xffabc", amf0.ErrMalformed},
	{"date cut short", "\x0b\x00\x00\x00\x00\x00\x00\x00\x00\x00", amf0.ErrMalformed},
	{"object without its end", "\x03\x00\x01a\x05", amf0.ErrMalformed},
	{"property without a value", "\x08\x00\x00\x00\x01\x00\x01a", amf0.ErrMalformed},
	{"strict array of 2^31 elements", "\x0a\x80\x00\x00\x00", amf0.ErrMalformed},
	{"strict array of more elements than bytes", "\x0a\x00\x00\x00\x03\x05\x05", amf0.ErrMalformed},
	{"strict array cut short", "\x0a\x00\x00\x00\x02\x02\x00\x00", amf0.ErrMalformed},
	{"reference", "\x07\x00\x00", amf0.ErrMalformed},
	{"AMF3", "\x11\x01", amf0.ErrMalformed},
	{"end of an object without an object", "\x00\x00\x09", amf0.ErrMalformed},
	{"objects nested 100,000 deep", strings.Repeat("\x03\x00\x01a", 100_000), amf0.ErrTooLarge},
	{"arrays nested 100,000 deep", strings.Repeat("\x0a\x00\x00\x00\x01", 100_000), amf0.ErrTooLarge},
	{"a value too many", strings.Repeat("\x05", amf0.MaxElements+1), amf0.ErrTooLarge},
	{"an element too many", "\x0a\x00\x00\xff\xff" + strings.Repeat("\x05", 0xffff), amf0.ErrTooLarge},
}

func TestBrokenValuesAreRefused(t *testing.T) {
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			if got, err := amf0.Decode([]byte(c.wire)); !errors.Is(err, c.want) || got != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestHostileCountsCostNothing(t *testing.T) {
	b := append([]byte("\x0a\x7f\xff\xff\xff"), bytes.Repeat([]byte{5}, 1000)...)
	if n := testing.AllocsPerRun(10, func() { amf0.Decode(b) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}

func TestDepthIsFreeAgainAfterAnObject(t *testing.T) {
	siblings := strings.Repeat("\x03\x00\x00\x09", 3*amf0.MaxDepth)
	if _, err := amf0.Decode([]byte(siblings)); err != nil {
		t.Error(err)
	}
}

func TestDecoderLeavesTheRest(t *testing.T) {
	d := amf0.NewDecoder([]byte("\x02\x00\x01a\x05"))
	if v, err := d.Next(); v != amf0.String("a") || err != nil || string(d.Rest()) != "\x05" {
		t.Error(v, err, d.Rest())
	}
	d.Next()
	if _, err := d.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestObjectLookups(t *testing.T) {
	o, ok := amf0.AsObject(amf0.ECMAArray{{"app", amf0.String("live")}, {"n", amf0.Number(1)}})
	if !ok || o.Text("app") != "live" || o.Text("n") != "" || o.Get("x") != nil {
		t.Error(o, ok)
	}
	if _, ok := amf0.AsObject(amf0.Null{}); ok {
		t.Error("null is no object")
	}
	if got := amf0.Append(nil, nil, amf0.Object{{strings.Repeat("n", 70_000), nil}}); len(got) != 1+1+2+65535+1+3 {
		t.Error(len(got))
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range sound {
		f.Add([]byte(c.wire))
	}
	for _, c := range lenient {
		f.Add([]byte(c.wire))
	}
	for _, c := range broken {
		f.Add([]byte(c.wire)[:min(len(c.wire), 1000)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		values, err := amf0.Decode(b)
		if err != nil {
			if !errors.Is(err, amf0.ErrMalformed) && !errors.Is(err, amf0.ErrTooLarge) {
				t.Fatalf("error %v has no sentinel", err)
			}
			return
		}
		wire := amf0.Append(nil, values...)
		again, err := amf0.Decode(wire)
		if err != nil || len(again) != len(values) {
			t.Fatalf("%d values, then %d, %v", len(values), len(again), err)
		}
		// Bytes are compared, not values: a NaN is not itself.
		if !bytes.Equal(amf0.Append(nil, again...), wire) {
			t.Fatalf("%#v became %#v", values, again)
		}
	})
}
