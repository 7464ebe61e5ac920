package chatws

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cleanName trims a name and checks it: characters that can be seen only, so
// that nobody can turn the writing direction around, hide, or look like
// somebody else by what does not show.
func cleanName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxName {
		return "", refuse(CodeBadName, "a name has %d characters at most", MaxName)
	}
	seen := s == ""
	for _, r := range s {
		switch {
		case r == '\u200d', unicode.Is(unicode.M, r): // within emoji and many scripts, but nothing alone
		case !unicode.IsPrint(r), strings.ContainsRune(blanks, r):
			return "", refuse(CodeBadName, "a name holds printable characters only")
		default:
			seen = true
		}
	}
	if !seen {
		return "", refuse(CodeBadName, "nothing of this name can be seen")
	}
	return s, nil
}

// blanks are letters and symbols of Unicode that show nothing.
const blanks = "\u115f\u1160\u2800\u3164\uffa0"

// visible reports whether r leaves a trace where it stands alone.
func visible(r rune) bool {
	return unicode.IsPrint(r) && r != ' ' && !unicode.Is(unicode.M, r) && !strings.ContainsRune(blanks, r)
}

// maxLines bounds a message's lines: each takes one of every viewer's window.
const maxLines = 10

// lineBreaks turns what breaks a line into a line feed, and a tab into a space.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n", "\t", " ")

// cleanText trims a message, takes control characters out and checks it.
func cleanText(s string, longest int) (string, error) {
	if !utf8.ValidString(s) {
		return "", refuse(CodeBadText, "the text is not UTF-8")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return -1
		}
		return r
	}, lineBreaks.Replace(s))
	s = strings.TrimSpace(s)
	switch n := utf8.RuneCountInString(s); {
	case !strings.ContainsFunc(s, visible):
		return "", refuse(CodeBadText, "there is no text")
	case n > longest:
		return "", refuse(CodeBadText, "the text has %d characters, %d are allowed", n, longest)
	case strings.Count(s, "\n") >= maxLines:
		return "", refuse(CodeBadText, "the text has more than %d lines", maxLines)
	}
	return s, nil
}
