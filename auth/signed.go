package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SignFormat is how a CDN signs URLs.
type SignFormat string

// The formats.
const (
	// SignAliyun is ?auth_key=TIMESTAMP-RAND-UID-MD5 (Aliyun's type A).
	SignAliyun SignFormat = "aliyun"
	// SignTencent is ?txSecret=MD5&txTime=HEX.
	SignTencent SignFormat = "tencent"
	// SignNginx is ?md5=BASE64URL&expires=UNIX (ngx_http_secure_link_module).
	SignNginx SignFormat = "nginx"
)

// CredentialParams are the names of a query's values that permit something, in
// any of the formats.
var CredentialParams = []string{"token", "auth_key", "txSecret", "txTime", "md5", "expires"}

const (
	// maxSigned bounds what is looked at of a query, in bytes.
	maxSigned = 4096
	// maxTime bounds a time, in Unix seconds: the year 9999.
	maxTime = 253402300799
)

// signer verifies signed URLs.
type signer struct {
	formats  map[SignFormat]bool
	secrets  [Admin + 1][]string // by action
	validity time.Duration
	nginx    string
}

func newSigner(c Config) (*signer, error) {
	formats, err := c.formats()
	if err != nil || len(formats) == 0 {
		return nil, err
	}
	s := &signer{formats: formats, validity: c.SignValidity, nginx: c.SignNginx}
	for _, x := range []struct {
		flag, path string
		action     Action
	}{{"url-sign-publish", c.SignPublish, Publish}, {"url-sign-play", c.SignPlay, Play}} {
		if x.path == "" {
			continue
		}
		if s.secrets[x.action], err = readSecrets(x.path); err != nil {
			return nil, fmt.Errorf("--%s: %w", x.flag, err)
		}
	}
	for _, a := range s.secrets[Publish] {
		for _, b := range s.secrets[Play] {
			if a == b { // the signature does not say what it is for
				return nil, fmt.Errorf("--url-sign-publish and --url-sign-play have a secret in common: who may watch could publish")
			}
		}
	}
	return s, nil
}

// signature is what a URL's query says, in one of the formats.
type signature struct {
	format  SignFormat
	expires int64 // as the URL says it, in Unix seconds
	// text is what the signature is of besides URI and secret, as it stands in
	// the URL; sum is the signature, decoded.
	text string
	sum  []byte
}

// find returns the signature of a query; found says that there is one, good or
// not.
func (s *signer) find(query string) (x signature, found bool) {
	if s == nil || query == "" {
		return x, false
	}
	if len(query) > maxSigned {
		return x, true
	}
	if v := param(query, "auth_key"); v != "" && s.formats[SignAliyun] {
		return parseAliyun(v), true
	}
	if v := param(query, "txSecret"); v != "" && s.formats[SignTencent] {
		return parseTencent(v, param(query, "txTime")), true
	}
	if v := param(query, "md5"); v != "" && s.formats[SignNginx] {
		return parseNginx(v, param(query, "expires")), true
	}
	return x, false
}

// parseAliyun reads TIMESTAMP-RAND-UID-MD5. The zero signature is a wrong one.
func parseAliyun(v string) signature {
	i := strings.LastIndexByte(v, '-')
	if i < 0 || strings.Count(v, "-") != 3 {
		return signature{}
	}
	first, _, _ := strings.Cut(v, "-")
	at, ok := unixTime(first, 10)
	sum, err := hex.DecodeString(v[i+1:])
	if !ok || err != nil || len(sum) != md5.Size {
		return signature{}
	}
	return signature{format: SignAliyun, expires: at, text: v[:i], sum: sum}
}

func parseTencent(secret, txTime string) signature {
	at, ok := unixTime(txTime, 16)
	// The name's end and the time's beginning are not told apart by what is signed: a
	// time of another length could take digits from the name.
	ok = ok && len(txTime) == 8
	sum, err := hex.DecodeString(secret)
	if !ok || err != nil || len(sum) != md5.Size {
		return signature{}
	}
	return signature{format: SignTencent, expires: at, text: txTime, sum: sum}
}

func parseNginx(v, expires string) signature {
	at, ok := unixTime(expires, 10)
	sum, err := base64.RawURLEncoding.Strict().DecodeString(v)
	if !ok || err != nil || len(sum) != md5.Size {
		return signature{}
	}
	return signature{format: SignNginx, expires: at, text: expires, sum: sum}
}

func unixTime(s string, base int) (int64, bool) {
	if len(s) > 12 || s == "" || s[0] == '+' || s[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, base, 64)
	return n, err == nil && n <= maxTime
}

// verify returns until when x permits r.
func (s *signer) verify(x signature, r *Request) (time.Time, error) {
	ok := false
	for _, secret := range s.secrets[r.Action] {
		for _, uri := range r.uris() {
			sum := md5.Sum([]byte(s.signed(x, r, uri, secret)))
			ok = hmac.Equal(sum[:], x.sum) || ok
		}
	}
	if x.format == "" || !ok {
		return time.Time{}, fmt.Errorf("%w: the URL's signature is wrong", ErrWrong)
	}
	until := time.Unix(x.expires, 0)
	if x.format == SignAliyun {
		until = until.Add(s.validity)
	}
	return until, nil
}

// signed returns what the MD5 is of.
func (s *signer) signed(x signature, r *Request, uri, secret string) string {
	switch x.format {
	case SignAliyun:
		return uri + "-" + x.text + "-" + secret
	case SignTencent:
		return secret + r.Key.Name() + x.text
	}
	return strings.NewReplacer("{expires}", x.text, "{uri}", uri, "{addr}", addressOf(r.RemoteAddr).String(), "{secret}", secret).Replace(s.nginx)
}

// uris returns the paths whose signature permits r: its own, and for a file that
// a playlist lists that of the playlist, which is what somebody signed.
func (r *Request) uris() []string {
	own := r.Path
	if own == "" {
		own = "/" + r.Key.String()
	}
	if r.Continues {
		return []string{own, "/" + r.Key.String() + ".m3u8"}
	}
	return []string{own}
}

// param returns a value of a query, "" if there is none. A '+' stays one, and what
// is no right escape is taken as it is: encoders pass on what was typed.
func param(query, name string) string {
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		if key != name || value == "" {
			continue
		}
		if s, err := url.PathUnescape(value); err == nil {
			return s
		}
		return value
	}
	return ""
}

// Credentials returns the part of a query that permits something, escaped anew,
// so that it can stand in the URLs of a playlist.
func Credentials(query string) string {
	if !slices.ContainsFunc(CredentialParams, func(name string) bool { return strings.Contains(query, name) }) {
		return ""
	}
	values, _ := url.ParseQuery(query) // what of it can be read
	var kept []string
	for _, name := range CredentialParams {
		if v := values.Get(name); v != "" {
			kept = append(kept, name+"="+url.QueryEscape(v))
		}
	}
	return strings.Join(kept, "&")
}
