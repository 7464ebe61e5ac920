package flv

import (
	"math"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

const nameColorInfo = "colorInfo"

// readColor reads a Metadata packet of Enhanced RTMP ("Metadata Frame"). ok
// says that it tells of colours; nil then takes back what was told before.
// What is no number is left out, and so is what cannot be read: pictures are
// shown without it.
func readColor(data []byte) (c *media.Color, ok bool) {
	if len(data) > maxScript {
		return nil, false
	}
	values, err := amf0.Decode(data)
	if err != nil || len(values) < 2 || values[0] != amf0.String(nameColorInfo) {
		return nil, false
	}
	info, isObject := amf0.AsObject(values[1])
	if !isObject {
		return nil, true
	}
	c = &media.Color{}
	if o, ok := amf0.AsObject(info.Get("colorConfig")); ok {
		c.BitDepth = whole(o.Get("bitDepth"), 16)
		c.Primaries = uint8(whole(o.Get("colorPrimaries"), 255))
		c.Transfer = uint8(whole(o.Get("transferCharacteristics"), 255))
		c.Matrix = uint8(whole(o.Get("matrixCoefficients"), 255))
	}
	if o, ok := amf0.AsObject(info.Get("hdrCll")); ok {
		c.Light = &media.ContentLight{MaxCLL: real(o.Get("maxCLL")), MaxFALL: real(o.Get("maxFall"))}
	}
	if o, ok := amf0.AsObject(info.Get("hdrMdcv")); ok {
		c.Mastering = &media.MasteringDisplay{}
		for _, f := range masteringFields(c.Mastering) {
			*f.value = real(o.Get(f.name))
		}
	}
	if *c == (media.Color{}) {
		return nil, true
	}
	return c, true
}

// AppendColorBody appends the body of a Metadata packet of Enhanced RTMP that
// tells t's colours. It appends nothing where these are not those of HDR, which
// nobody needs to be told besides the bitstream, or where t has another form
// than Enhanced. Not every player ignores what it does not know: mpegts.js ends
// over it.
func AppendColorBody(dst []byte, t *media.Track, p Packing) []byte {
	f := formOf(t, p)
	if !isHDR(t.Color) || f.typ != TypeVideo || f.four == 0 {
		return dst
	}
	var info amf0.Object
	if c := t.Color; c.Described() || c.BitDepth > 0 {
		o := amf0.Object{}
		add := func(name string, n int) {
			if n > 0 || name == "matrixCoefficients" && c.Described() {
				o = append(o, amf0.Property{Name: name, Value: amf0.Number(n)})
			}
		}
		add("bitDepth", c.BitDepth)
		add("colorPrimaries", int(c.Primaries))
		add("transferCharacteristics", int(c.Transfer))
		add("matrixCoefficients", int(c.Matrix))
		info = append(info, amf0.Property{Name: "colorConfig", Value: o})
	}
	if l := t.Color.Light; l != nil {
		info = append(info, amf0.Property{Name: "hdrCll", Value: amf0.Object{
			{Name: "maxFall", Value: amf0.Number(l.MaxFALL)},
			{Name: "maxCLL", Value: amf0.Number(l.MaxCLL)},
		}})
	}
	if m := t.Color.Mastering; m != nil {
		var o amf0.Object
		for _, f := range masteringFields(m) {
			o = append(o, amf0.Property{Name: f.name, Value: amf0.Number(*f.value)})
		}
		info = append(info, amf0.Property{Name: "hdrMdcv", Value: o})
	}
	// Of any other frame type FFmpeg takes it for a picture.
	dst = appendFourCC(append(dst, exVideo|frameCommand<<4|exMetadata), f.four)
	return amf0.Append(dst, amf0.String(nameColorInfo), info)
}

func isHDR(c *media.Color) bool {
	return c != nil && (c.Transfer == media.TransferPQ || c.Transfer == media.TransferHLG || c.Mastering != nil || c.Light != nil)
}

type masteringField struct {
	name  string
	value *float64
}

func masteringFields(m *media.MasteringDisplay) []masteringField {
	return []masteringField{
		{"redX", &m.RedX},
		{"redY", &m.RedY},
		{"greenX", &m.GreenX},
		{"greenY", &m.GreenY},
		{"blueX", &m.BlueX},
		{"blueY", &m.BlueY},
		{"whitePointX", &m.WhiteX},
		{"whitePointY", &m.WhiteY},
		{"maxLuminance", &m.MaxLuminance},
		{"minLuminance", &m.MinLuminance},
	}
}

// real returns a number that is one and not below 0, else 0.
func real(v amf0.Value) float64 {
	n, ok := v.(amf0.Number)
	if !ok || math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) || n < 0 {
		return 0
	}
	return float64(n)
}

// mergeColor completes what a Metadata packet told by what the bitstream tells.
func mergeColor(told, coded *media.Color) *media.Color {
	if coded == nil {
		return told
	}
	c := *told
	if !c.Described() {
		c.Primaries, c.Transfer, c.Matrix, c.FullRange = coded.Primaries, coded.Transfer, coded.Matrix, coded.FullRange
	} else {
		c.FullRange = coded.FullRange
	}
	if c.BitDepth == 0 {
		c.BitDepth = coded.BitDepth
	}
	return &c
}
