package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/miju-live/miju/bench"
)

// TestBenchDocs holds docs/bench.md to explain every figure and flag, and to
// name benchmarks that there are.
func TestBenchDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "bench.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs := string(b)
	_, figures, _ := strings.Cut(docs, "## Figures")
	for name, report := range map[string]any{"push": bench.PushReport{}, "flv": bench.FLVReport{}, "hls": bench.HLSReport{}, "chat": bench.ChatReport{}} {
		_, own, found := strings.Cut(figures, "### "+name+"\n")
		own, _, _ = strings.Cut(own, "\n##")
		_, all, _ := strings.Cut(figures, "### All\n")
		all, _, _ = strings.Cut(all, "### push")
		if !found {
			t.Errorf("nothing about %s", name)
		}
		for _, figure := range figuresOf(reflect.TypeOf(report)) {
			if !strings.Contains(own+all, "`"+figure+"`") {
				t.Errorf("%s: %s is not explained", name, figure)
			}
		}
	}
	for _, cmd := range benchCommand().Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { checkFlag(t, docs, cmd, f) })
	}
	for _, m := range regexp.MustCompile("`(Benchmark\\w+)`, ([a-z0-9/]+)").FindAllStringSubmatch(docs, -1) {
		files, err := filepath.Glob(filepath.Join("..", "..", m[2], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			found = found || err == nil && strings.Contains(string(text), "func "+m[1]+"(b *testing.B)")
		}
		if !found {
			t.Errorf("%s is not in %s", m[1], m[2])
		}
	}
}

func checkFlag(t *testing.T, docs string, cmd *cobra.Command, f *pflag.Flag) {
	t.Helper()
	if f.Usage == "" || !strings.Contains(docs, "--"+f.Name) && (f.Shorthand == "" || !strings.Contains(docs, "`-"+f.Shorthand+"`")) {
		t.Errorf("%s: --%s is not explained", cmd.Name(), f.Name)
	}
}

// figuresOf are the names of a report's figures.
func figuresOf(r reflect.Type) (names []string) {
	if r.Kind() == reflect.Pointer {
		r = r.Elem()
	}
	for i := range r.NumField() {
		f := r.Field(i)
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[bench.Quantiles]() {
			names = append(names, figuresOf(inner)...)
		}
	}
	return names
}
