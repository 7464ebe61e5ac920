package amf0

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// MaxDepth bounds how deep objects and arrays nest: those of encoders nest
// two deep, those of FLV files with an index of random access points three.
const MaxDepth = 16

// MaxElements bounds the properties and array elements that one Decoder
// reads: an index of four hours in an FLV file has some 15,000, a command or
// the metadata of an encoder 20 to 40. An element costs its reader up to 32
// bytes where it cost the sender 3.
const MaxElements = 16384

var (
	// ErrMalformed is wrapped by every error of a Decoder that means "this is
	// not AMF0, or is cut short".
	ErrMalformed = errors.New("malformed AMF0")
	// ErrTooLarge is wrapped by errors that mean "over MaxDepth or MaxElements".
	ErrTooLarge = errors.New("AMF0 over a bound")
)

// Decoder reads values one by one. Whoever makes it bounds the length of its
// input. What it allocates is bounded by that length and by MaxElements,
// never by a count that the input states.
type Decoder struct {
	rest     []byte
	elements int
	depth    int
}

// NewDecoder returns a Decoder of b. Values do not point into b.
func NewDecoder(b []byte) *Decoder { return &Decoder{rest: b} }

// Decode reads all values of b.
func Decode(b []byte) ([]Value, error) {
	d := Decoder{rest: b}
	var values []Value
	for {
		v, err := d.Next()
		if err == io.EOF {
			return values, nil
		}
		if err != nil {
			return nil, err
		}
		if err := d.count(); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
}

// Rest returns what is not read yet, as a slice of the input.
func (d *Decoder) Rest() []byte { return d.rest }

// Next returns the next value, io.EOF after the last. Other errors wrap
// ErrMalformed or ErrTooLarge; the Decoder is of no use after one.
func (d *Decoder) Next() (Value, error) {
	if len(d.rest) == 0 {
		return nil, io.EOF
	}
	marker := d.rest[0]
	d.rest = d.rest[1:]
	switch marker {
	case markerNumber:
		n, err := d.number()
		return Number(n), err
	case markerBoolean:
		b, err := d.take(1)
		return Boolean(err == nil && b[0] != 0), err
	case markerString:
		s, err := d.name()
		return String(s), err
	case markerLongString, markerXMLDocument:
		n, err := d.uint32()
		if err != nil {
			return nil, err
		}
		b, err := d.take(n)
		return String(b), err
	case markerNull:
		return Null{}, nil
	case markerUndefined, markerUnsupported:
		return Undefined{}, nil
	case markerDate:
		n, err := d.number()
		if err != nil {
			return nil, err
		}
		b, err := d.take(2)
		if err != nil {
			return nil, err
		}
		return Date{Milliseconds: n, Zone: int16(binary.BigEndian.Uint16(b))}, nil
	case markerObject, markerTypedObject, markerECMAArray, markerStrictArray:
		return d.nested(marker)
	}
	return nil, fmt.Errorf("%w: type marker 0x%02x", ErrMalformed, marker)
}

// nested reads an object or an array. It is the only way down, and MaxDepth
// its floor.
func (d *Decoder) nested(marker byte) (Value, error) {
	if d.depth == MaxDepth {
		return nil, fmt.Errorf("%w: nested more than %d deep", ErrTooLarge, MaxDepth)
	}
	d.depth++
	defer func() { d.depth-- }()
	switch marker {
	case markerTypedObject: // its class (2.18) is nothing to anybody here
		if _, err := d.name(); err != nil {
			return nil, err
		}
	case markerStrictArray:
		return d.strictArray()
	case markerECMAArray:
		// The count (2.10) is a hint that encoders get wrong or leave 0.
		if _, err := d.uint32(); err != nil {
			return nil, err
		}
		p, err := d.properties(true)
		return ECMAArray(p), err
	}
	p, err := d.properties(false)
	return Object(p), err
}

// properties reads up to the end of an object (2.11). Where open says so the
// end of the input will do: some encoders leave the end of an array out.
func (d *Decoder) properties(open bool) ([]Property, error) {
	var all []Property
	for {
		if open && len(d.rest) == 0 {
			return all, nil
		}
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		if name == "" && len(d.rest) > 0 && d.rest[0] == markerObjectEnd {
			d.rest = d.rest[1:]
			return all, nil
		}
		v, err := d.element()
		if err != nil {
			return nil, err
		}
		all = append(all, Property{Name: name, Value: v})
	}
}

func (d *Decoder) strictArray() (Value, error) {
	n, err := d.uint32()
	if err != nil {
		return nil, err
	}
	if n > len(d.rest) { // an element has a byte at least
		return nil, fmt.Errorf("%w: array of %d elements in %d bytes", ErrMalformed, n, len(d.rest))
	}
	var all StrictArray
	for range n {
		v, err := d.element()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// element reads a value that must be there.
func (d *Decoder) element() (Value, error) {
	if err := d.count(); err != nil {
		return nil, err
	}
	v, err := d.Next()
	if err == io.EOF {
		return nil, fmt.Errorf("%w: a value is missing", ErrMalformed)
	}
	return v, err
}

func (d *Decoder) count() error {
	if d.elements++; d.elements > MaxElements {
		return fmt.Errorf("%w: more than %d values", ErrTooLarge, MaxElements)
	}
	return nil
}

func (d *Decoder) number() (float64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func (d *Decoder) name() (string, error) {
	b, err := d.take(2)
	if err != nil {
		return "", err
	}
	b, err = d.take(int(binary.BigEndian.Uint16(b)))
	return string(b), err
}

func (d *Decoder) uint32() (int, error) {
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b)
	return int(min(n, math.MaxInt32)), nil
}

func (d *Decoder) take(n int) ([]byte, error) {
	if n > len(d.rest) {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d left", ErrMalformed, n, len(d.rest))
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}
