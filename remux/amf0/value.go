// Package amf0 reads and writes the values of RTMP commands and FLV script
// data, within bounds (Action Message Format AMF 0, 2007).
package amf0

import (
	"encoding/binary"
	"math"
)

// The type markers (2.1).
const (
	markerNumber      = 0x00
	markerBoolean     = 0x01
	markerString      = 0x02
	markerObject      = 0x03
	markerNull        = 0x05
	markerUndefined   = 0x06
	markerECMAArray   = 0x08
	markerObjectEnd   = 0x09
	markerStrictArray = 0x0a
	markerDate        = 0x0b
	markerLongString  = 0x0c
	markerUnsupported = 0x0d
	markerXMLDocument = 0x0f
	markerTypedObject = 0x10
)

// Value is one of the types below.
type Value interface {
	appendTo(dst []byte) []byte
}

// The simple values. A String is written as a long string (2.14) where it has
// more than 65535 bytes. Null is also what a nil Value is written as.
type (
	Number    float64
	Boolean   bool
	String    string
	Null      struct{}
	Undefined struct{}
)

// Date is a point in time (2.13).
type Date struct {
	// Milliseconds since 1970-01-01 UTC.
	Milliseconds float64
	// Zone is reserved by the standard, which wants 0.
	Zone int16
}

// Property is a named value of an Object or an ECMAArray. A name is cut at
// 65535 bytes when it is written.
type Property struct {
	Name  string
	Value Value
}

// Object is an anonymous object (2.5), its properties in the order of the
// wire. An ECMAArray (2.10) is the same with another marker. StrictArray
// (2.12) holds values by number.
type (
	Object      []Property
	ECMAArray   []Property
	StrictArray []Value
)

// Get returns the first property called name, nil if there is none.
func (o Object) Get(name string) Value {
	for i := range o {
		if o[i].Name == name {
			return o[i].Value
		}
	}
	return nil
}

// Text returns the String property called name, "" if there is none.
func (o Object) Text(name string) string {
	s, _ := o.Get(name).(String)
	return string(s)
}

// AsObject returns the properties of an Object or an ECMAArray: encoders send
// one where the other is expected.
func AsObject(v Value) (o Object, ok bool) {
	switch v := v.(type) {
	case Object:
		return v, true
	case ECMAArray:
		return Object(v), true
	}
	return nil, false
}

// Append appends values to dst, one behind the other.
func Append(dst []byte, values ...Value) []byte {
	for _, v := range values {
		if v == nil {
			v = Null{}
		}
		dst = v.appendTo(dst)
	}
	return dst
}

func (n Number) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(append(dst, markerNumber), math.Float64bits(float64(n)))
}

func (b Boolean) appendTo(dst []byte) []byte {
	if b {
		return append(dst, markerBoolean, 1)
	}
	return append(dst, markerBoolean, 0)
}

func (s String) appendTo(dst []byte) []byte {
	if len(s) > math.MaxUint16 {
		return append(binary.BigEndian.AppendUint32(append(dst, markerLongString), uint32(len(s))), s...)
	}
	return appendName(append(dst, markerString), string(s))
}

func (Null) appendTo(dst []byte) []byte      { return append(dst, markerNull) }
func (Undefined) appendTo(dst []byte) []byte { return append(dst, markerUndefined) }

func (d Date) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, markerDate), math.Float64bits(d.Milliseconds))
	return binary.BigEndian.AppendUint16(dst, uint16(d.Zone))
}

func (o Object) appendTo(dst []byte) []byte {
	return appendProperties(append(dst, markerObject), o)
}

func (a ECMAArray) appendTo(dst []byte) []byte {
	return appendProperties(binary.BigEndian.AppendUint32(append(dst, markerECMAArray), uint32(len(a))), a)
}

func (a StrictArray) appendTo(dst []byte) []byte {
	return Append(binary.BigEndian.AppendUint32(append(dst, markerStrictArray), uint32(len(a))), a...)
}

func appendProperties(dst []byte, properties []Property) []byte {
	for _, p := range properties {
		dst = Append(appendName(dst, p.Name), p.Value)
	}
	return append(dst, 0, 0, markerObjectEnd)
}

func appendName(dst []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}
