package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// authBook is what docs/auth.md says, by the headings of its tables, their rows
// and their columns.
type authBook struct {
	tables  map[string]map[string]map[string]string
	reasons map[string]bool // numbers of the list under matrixHeading
}

// The headings of the tables that are read.
const matrixHeading, refusedHeading, inUseHeading = "Every door and every credential", "What a refused peer is told", "What expires"

func readAuthBook(t *testing.T) *authBook {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "auth.md"))
	if err != nil {
		t.Fatal(err)
	}
	book := &authBook{tables: map[string]map[string]map[string]string{}, reasons: map[string]bool{}}
	heading := ""
	var columns []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if h, ok := strings.CutPrefix(line, "## "); ok {
			heading, columns = h, nil
		}
		if n := regexp.MustCompile(`^(\d+)\. `).FindStringSubmatch(line); n != nil && heading == matrixHeading {
			book.reasons[n[1]] = true
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		fields := strings.Split(strings.Trim(line, "|"), "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if columns == nil {
			columns, book.tables[heading] = fields, map[string]map[string]string{}
			continue
		}
		row := map[string]string{}
		for i, f := range fields[1:] {
			if i+1 < len(columns) {
				row[columns[i+1]] = f
			}
		}
		book.tables[heading][fields[0]] = row
	}
	return book
}

// may returns what the table says of a credential at a door: yes, B, or the number of
// a reason why it cannot be.
func (b *authBook) may(t *testing.T, row, column string) string {
	t.Helper()
	s, ok := b.tables[matrixHeading][row][column]
	if !ok || s != "yes" && s != "B" && !b.reasons[s] {
		t.Fatalf("docs/auth.md says %q of %s at %s", s, row, column)
	}
	return s
}

// answers finds in a sentence what a peer can be told.
var answers = regexp.MustCompile("Net\\w+\\.\\w+\\.\\w+|\\?reason=\\w+|WWW-Authenticate: Bearer|\\b[1-5]\\d{2,3}\\b( `[a-z_]+`)?")

// refusal returns what a peer is told who is refused as A, B or U.
func (b *authBook) refusal(t *testing.T, row, column string) string {
	t.Helper()
	said := b.tables[refusedHeading][row][column]
	if said == "the same" {
		return b.refusal(t, row, map[string]string{"B": "A", "U": "B"}[column])
	}
	return b.told(t, said)
}

// told returns the answers in a sentence.
func (b *authBook) told(t *testing.T, said string) string {
	t.Helper()
	told := strings.ReplaceAll(strings.Join(answers.FindAllString(said, -1), " "), "`", "")
	if told == "" {
		t.Errorf("docs/auth.md: %q is no answer", said)
	}
	return told
}

// TestMatrixIsWhole: the table has a word for every credential at every door, and no
// credential or reason that nobody tries or gives.
func TestMatrixIsWhole(t *testing.T) {
	book := readAuthBook(t)
	rows, given := map[string]bool{}, map[string]bool{}
	for place := range placesOf {
		rows[place] = true
	}
	for _, k := range kinds() {
		rows[k.row] = true
	}
	for row := range book.tables[matrixHeading] {
		if !rows[row] {
			t.Errorf("nobody tries %q", row)
		}
	}
	for row := range rows {
		for _, d := range doors() {
			given[book.may(t, row, d.column)] = true
		}
	}
	for reason := range book.reasons {
		if !given[reason] {
			t.Errorf("reason %s is of no square", reason)
		}
	}
}
