package media

// Color is what a video track says about its colours, as code points of ITU-T
// H.273. The zero of a field is "not told", for the code points too: they
// reserve it (Matrix, where 0 is RGB, is the exception and not told with
// Primaries).
type Color struct {
	// BitDepth is in bits a sample.
	BitDepth int
	// Primaries, Transfer and Matrix are H.273's ColourPrimaries,
	// TransferCharacteristics (16 is PQ, 18 is HLG) and MatrixCoefficients.
	Primaries, Transfer, Matrix uint8
	// FullRange says that samples use the whole range of values.
	FullRange bool
	// Mastering is the display that the pictures were made on, Light how bright
	// they get; nil is not told.
	Mastering *MasteringDisplay
	Light     *ContentLight
}

// The transfer characteristics that make a picture HDR (H.273, table 3).
const (
	TransferPQ  = 16
	TransferHLG = 18
)

// MasteringDisplay is the volume of colours of SMPTE ST 2086: chromaticities
// from 0 to 1, luminances in cd/m². It is kept as it came.
type MasteringDisplay struct {
	RedX, RedY, GreenX, GreenY, BlueX, BlueY, WhiteX, WhiteY float64
	MaxLuminance, MinLuminance                               float64
}

// ContentLight is the light level of CTA-861.3, in cd/m².
type ContentLight struct {
	// MaxCLL is that of the brightest pixel, MaxFALL that of the brightest
	// frame on average.
	MaxCLL, MaxFALL float64
}

// Described reports whether c has code points; it may be called on nil.
func (c *Color) Described() bool { return c != nil && c.Primaries != 0 }

// Equal reports whether two descriptions say the same; both may be nil.
func (c *Color) Equal(other *Color) bool {
	if c == nil || other == nil {
		return c == other
	}
	a, b := *c, *other
	a.Mastering, b.Mastering, a.Light, b.Light = nil, nil, nil, nil
	return a == b && equalPointees(c.Mastering, other.Mastering) && equalPointees(c.Light, other.Light)
}

func equalPointees[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// unspecified is the code point "unknown, or determined by the application".
const unspecified = 2

// colorOf makes a description of what a bitstream tells; nil if it tells
// nothing that matters to a container.
func colorOf(bitDepth int, primaries, transfer, matrix uint8, fullRange bool) *Color {
	if primaries == 0 || primaries == unspecified && transfer == unspecified && matrix == unspecified {
		return nil
	}
	return &Color{BitDepth: bitDepth, Primaries: primaries, Transfer: transfer, Matrix: matrix, FullRange: fullRange}
}
