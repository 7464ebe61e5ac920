package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Run is the beginning of every report.
type Run struct {
	Command string `json:"command" text:"command"`
	// URL is as it was given, without a query.
	URL string `json:"url" text:"URL"`
	// Seconds is the length of the window.
	Seconds float64 `json:"seconds" text:"measured for" unit:"s"`
}

// End is the end of every report.
type End struct {
	Server *ServerUse `json:"server,omitempty"`
	Tool   ToolUse    `json:"tool"`
	// Notes say what went wrong, in words.
	Notes []string `json:"notes,omitempty" text:"note"`
	// Bottleneck is why the figures are those of the tool and not of the
	// server; empty if they are not.
	Bottleneck string `json:"bottleneck,omitempty" text:""`
}

func (l *Load) head(command string, w *measured) Run {
	return Run{Command: command, URL: l.shown(), Seconds: round4(w.took.Seconds())}
}

func (w *measured) tail(f *failures) End {
	notes, why := f.notes()
	return End{Server: w.server, Tool: w.tool, Notes: append(w.notes, notes...), Bottleneck: bottleneck(append(why, w.slow...))}
}

// WriteTable writes a report for people: a line for each field with a text
// tag, and for each element of a field that is a list.
func WriteTable(w io.Writer, report any) error {
	var rows [][2]string
	collect(reflect.ValueOf(report), &rows)
	var b strings.Builder
	for _, r := range rows {
		if r[0] == "" {
			fmt.Fprintf(&b, "\n%s\n", r[1])
			continue
		}
		fmt.Fprintf(&b, "%-34s %s\n", r[0], r[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func collect(v reflect.Value, rows *[][2]string) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		f, value := v.Type().Field(i), v.Field(i)
		text, shown := f.Tag.Lookup("text")
		if !shown {
			if k := indirect(f.Type).Kind(); k == reflect.Struct {
				collect(value, rows)
			}
			continue
		}
		unit := f.Tag.Get("unit")
		if value.Kind() == reflect.Slice {
			for j := range value.Len() {
				*rows = append(*rows, [2]string{text, format(value.Index(j), unit)})
			}
			continue
		}
		if value.Kind() == reflect.Pointer && value.IsNil() || text == "" && value.IsZero() {
			continue
		}
		*rows = append(*rows, [2]string{text, format(value, unit)})
	}
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func format(v reflect.Value, unit string) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case Quantiles:
		if x.N == 0 {
			return "none"
		}
		return fmt.Sprintf("p50 %s, p99 %s, max %s %s (%d)", decimal(x.P50), decimal(x.P99), decimal(x.Max), unit, x.N)
	case map[string]int:
		if len(x) == 0 {
			return "0"
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, fmt.Sprintf("%d %s", x[k], k))
		}
		return strings.Join(parts, ", ")
	case int64:
		if unit == bytesUnit {
			return fmt.Sprintf("%s MB", decimal(float64(x)/1e6))
		}
	case float64:
		return strings.TrimSpace(decimal(x) + " " + unit)
	}
	return strings.TrimSpace(fmt.Sprint(v.Interface()) + " " + unit)
}

// bytesUnit is shown as megabytes.
const bytesUnit = "bytes"

func decimal(f float64) string { return strconv.FormatFloat(round4(f), 'f', -1, 64) }

// round4 keeps four digits, and whole numbers whole.
func round4(f float64) float64 {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	if math.Abs(f) >= 1000 {
		return math.Round(f)
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(f))))
	return math.Round(f*scale) / scale
}

// ratio is a/b, 0 if there is no b.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
