package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/miju-live/miju/"

// mayImport is the table of docs/DESIGN.md: which rooms a room may use. A
// name that ends in "/" stands for all below it. cmd/miju may use everybody.
var mayImport = map[string][]string{
	"streamkey":           {},
	"media":               {},
	"media/mediatest":     {"media"},
	"peer":                {},
	"auth":                {"peer", "streamkey"},
	"hooks":               {"auth", "streamkey"},
	"backlog":             {},
	"nowait":              {},
	"cors":                {},
	"certs":               {},
	"certs/acmetest":      {},
	"stream":              {"media", "streamkey"},
	"remux/amf0":          {},
	"remux/flv":           {"media", "remux/amf0"},
	"remux/mpegts":        {"media"},
	"remux/fmp4":          {"media"},
	"remux/hls":           {"media", "remux/fmp4"},
	"remux/hls/hlstest":   {},
	"ingest":              {"auth", "media", "peer", "stream", "streamkey"},
	"ingest/rtmp":         {"auth", "backlog", "fanout", "ingest", "ingest/rtmp/", "media", "remux/", "stream", "streamkey"},
	"ingest/rtmp/chunk":   {},
	"ingest/rtmp/message": {"ingest/rtmp/chunk", "media", "nowait", "remux/amf0", "remux/flv"},
	"ingest/rtmp/client":  {"ingest/rtmp/chunk", "ingest/rtmp/message", "media", "remux/amf0", "remux/flv"},
	"ingest/srt":          {"auth", "ingest", "media", "remux/", "stream", "streamkey", "tsfeed"},
	"ingest/srt/srttest":  {},
	"ingest/file":         {"auth", "ingest", "media", "remux/", "stream", "streamkey"},
	"tsfeed":              {"media", "remux/mpegts", "stream"},
	"fanout":              {"nowait", "stream"},
	"origin":              {"auth", "backlog", "cors", "fanout", "media", "origin/web", "peer", "remux/", "stream", "streamkey", "tsfeed"},
	"origin/web":          {},
	"chatws":              {"auth", "cors", "nowait", "peer", "streamkey"},
	"chatstore":           {},
	"chatstore/pgtest":    {},
	"admin":               {"auth", "media", "stream", "streamkey"},
	"bench":               {"ingest/rtmp/client", "media", "remux/flv", "remux/mpegts"},
	"testdata":            {},
}

// mayNotUse are packages of the standard library that a room must do without.
var mayNotUse = map[string][]string{
	"stream":       {"net", "net/http"},
	"tsfeed":       {"net", "net/http"},
	"remux/amf0":   {"net", "net/http", "sync", "time/rate"},
	"remux/flv":    {"net", "net/http", "sync"},
	"remux/mpegts": {"net", "net/http", "sync"},
	"remux/fmp4":   {"net", "net/http", "sync"},
	"remux/hls":    {"net", "net/http", "sync"},
}

type goPackage struct {
	ImportPath, Dir string
	Doc             string
	Imports         []string
	GoFiles         []string
	TestGoFiles     []string
	XTestGoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(p.ImportPath, "node_modules") {
			all = append(all, p)
		}
	}
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		if room == "cmd/miju" {
			continue
		}
		allowed, known := mayImport[room]
		if !known {
			t.Errorf("%s is not in the table of docs/DESIGN.md", room)
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module); ok && !slices.ContainsFunc(allowed, func(a string) bool {
				return ours == a || strings.HasSuffix(a, "/") && strings.HasPrefix(ours, a)
			}) {
				t.Errorf("%s imports %s", room, ours)
			}
			if slices.Contains(mayNotUse[room], i) {
				t.Errorf("%s imports %s", room, i)
			}
		}
	}
}

// TestHouseRules holds what lint does not: a sentence for each package, files
// under 500 lines, functions under 90, and no panic, exit or print outside cmd.
func TestHouseRules(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		if p.Doc == "" {
			t.Errorf("%s does not say what it is", room)
		}
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			checkFile(t, filepath.Join(p.Dir, name), room)
		}
	}
}

func checkFile(t *testing.T, path, room string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		t.Error(err)
		return
	}
	line := func(p token.Pos) int { return fset.Position(p).Line }
	where := room + "/" + filepath.Base(path)
	if n := line(f.FileEnd); n > 500 {
		t.Errorf("%s has %d lines", where, n)
	}
	outside := room != "cmd/miju" && room != "media/mediatest" && !strings.HasSuffix(path, "_test.go")
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if lines := line(n.End()) - line(n.Pos()) + 1; lines > 90 {
				t.Errorf("%s: %s has %d lines", where, n.Name.Name, lines)
			}
		case *ast.CallExpr:
			if outside && banned(n) {
				t.Errorf("%s:%d panics, exits or prints", where, line(n.Pos()))
			}
		}
		return true
	})
}

func banned(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name == "panic" || f.Name == "print" || f.Name == "println"
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && (x.Name == "os" && f.Sel.Name == "Exit" || x.Name == "fmt" && strings.HasPrefix(f.Sel.Name, "Print") || x.Name == "log" && strings.HasPrefix(f.Sel.Name, "Fatal"))
	}
	return false
}

// TestNoLargeFiles keeps the clips small enough for everybody to clone.
func TestNoLargeFiles(t *testing.T) {
	total := int64(0)
	err := filepath.WalkDir(filepath.Join("..", "..", "testdata"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil || total > 5<<20 {
		t.Errorf("testdata holds %d bytes, %v", total, err)
	}
}
