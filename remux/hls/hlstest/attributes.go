package hlstest

import (
	"fmt"
	"strings"
)

// quotedAttributes are those of the tags here whose values are quoted strings;
// all others are numbers, sizes and words (RFC 8216bis, 4.2).
var quotedAttributes = map[string]bool{
	"URI": true, "CODECS": true, "AUDIO": true, "GROUP-ID": true, "NAME": true, "LANGUAGE": true, "CHANNELS": true,
}

// attributes reads an attribute list, without the quotes. What is malformed,
// comes twice or is quoted wrongly is an error.
func attributes(s string) (map[string]string, error) {
	a := map[string]string{}
	for s != "" {
		name, rest, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return nil, fmt.Errorf("no attribute at %q", s)
		}
		value := rest
		quoted := strings.HasPrefix(rest, `"`)
		if quoted {
			if value, rest, ok = strings.Cut(rest[1:], `"`); !ok {
				return nil, fmt.Errorf("%s has one quote", name)
			}
			if rest != "" && (rest[0] != ',' || rest == ",") {
				return nil, fmt.Errorf("no attribute behind %s", name)
			}
			s = strings.TrimPrefix(rest, ",")
		} else {
			value, s, ok = strings.Cut(rest, ",")
			if ok && s == "" {
				return nil, fmt.Errorf("no attribute behind %s", name)
			}
		}
		if _, twice := a[name]; twice || quoted != quotedAttributes[name] || value == "" {
			return nil, fmt.Errorf("%s twice, empty, or quoted %v", name, quoted)
		}
		a[name] = value
	}
	return a, nil
}
