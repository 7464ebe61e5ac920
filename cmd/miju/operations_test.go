package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestOperationsPage holds docs/operations.md to naming every limit, and nothing
// that is not there.
func TestOperationsPage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	c := defaultConfig()
	bindFlags(flags, &c)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[groupAnnotation][0] == "limits" && !strings.Contains(page, "`--"+f.Name+"`") && !strings.Contains(page, "`--"+f.Name+" ") {
			t.Errorf("--%s is not there", f.Name)
		}
	})
	for _, m := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(page, -1) {
		if flags.Lookup(m[1]) == nil {
			t.Errorf("there is no flag --%s", m[1])
		}
	}
	sources, err := filepath.Glob("metrics*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	var metrics strings.Builder
	for _, s := range sources {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		metrics.Write(b)
	}
	for _, m := range regexp.MustCompile("`(miju_[a-z_]+)").FindAllStringSubmatch(page, -1) {
		if !strings.Contains(metrics.String(), `"`+m[1]+`"`) {
			t.Errorf("there is no metric %s", m[1])
		}
	}
}
