package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// MaxToken is the longest token that is looked at, in bytes: one signed by
	// RSA with 4096 bits and generous claims has 1.5 kB.
	MaxToken = 4096
	// maxHeader bounds a token's first part, in bytes as it stands there.
	maxHeader = 512
	// maxKeyID bounds the ID of a key, in bytes.
	maxKeyID = 128
)

// Mint signs claims with the server's secret (HS256). The header is the shortest
// that there can be: encoders' stream keys have little room.
func Mint(secret []byte, c Claims) (string, error) {
	if len(secret) < minSecret {
		return "", fmt.Errorf("the secret has %d bytes, %d are the least", len(secret), minSecret)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, &c)
	delete(t.Header, "typ")
	return t.SignedString(secret)
}

// tokens verifies JSON Web Tokens (RFC 7519).
type tokens struct {
	secret           []byte // of HS256; nil if there is none
	keys             *keySet
	issuer, audience string
	local            *signingKeys // of EdDSA; nil if there is no directory for one
	methods          []string
	parser           *jwt.Parser
	verdicts         *verdicts
	// checked counts signatures that were looked at.
	checked atomic.Uint64
}

func newTokens(secret []byte, local *signingKeys, keys *keySet, c Config) *tokens {
	t := &tokens{secret: secret, local: local, keys: keys, issuer: c.Issuer, audience: c.Audience, verdicts: newVerdicts(maxVerdicts)}
	if secret != nil {
		t.methods = append(t.methods, jwt.SigningMethodHS256.Alg())
	}
	switch {
	case keys != nil:
		t.methods = append(t.methods, asymmetric...)
	case local != nil:
		t.methods = append(t.methods, jwt.SigningMethodEdDSA.Alg())
	}
	t.parser = jwt.NewParser(jwt.WithStrictDecoding())
	return t
}

// verdict is what was found of a token whose signature is right.
type verdict struct {
	claims Claims
	// keys is the generation of the key set that it was found by, 0 for the
	// server's own secret and its own key.
	keys uint64
	// credential is what its grants are revoked by.
	credential string
	// played is when a player was granted something by it, in Unix seconds.
	played atomic.Int64
}

// looksLikeToken tells a JSON Web Token from secrets of other kinds.
func looksLikeToken(s string) bool { return strings.Count(s, ".") == 2 && strings.HasPrefix(s, "ey") }

// verify returns what token says if its signature is right. An error that does
// not wrap ErrDenied says that this cannot be known now.
func (t *tokens) verify(ctx context.Context, token string) (*verdict, error) {
	if len(token) > MaxToken || strings.IndexByte(token, '.') > maxHeader {
		return nil, fmt.Errorf("%w: the token is too long", ErrWrong)
	}
	id := sha256.Sum256([]byte(token))
	if v := t.verdicts.get(id); v != nil && (v.keys == 0 || v.keys == t.keys.generation()) {
		return v, nil
	}
	v := &verdict{}
	t.checked.Add(1)
	if err := t.checkSignature(ctx, token, v); err != nil {
		return nil, err
	}
	if err := t.checkOrigin(v); err != nil {
		return nil, err
	}
	if strings.HasPrefix(v.claims.Subject, OwnSubject) {
		return nil, fmt.Errorf("%w: the token's subject is reserved", ErrUnauthenticated)
	}
	v.credential = credentialOf(v.claims.ID, token)
	t.verdicts.put(id, v)
	return v, nil
}

// checkSignature reads token into v, and returns why it is not signed by a key that
// is known here. Times are looked at later, with every use of a verdict.
func (t *tokens) checkSignature(ctx context.Context, token string, v *verdict) error {
	refuse := func(err error) error { return fmt.Errorf("%w: %s", ErrWrong, fault(err)) }
	parsed, parts, err := t.parser.ParseUnverified(token, &v.claims)
	if err != nil {
		return refuse(err)
	}
	if !slices.Contains(t.methods, parsed.Method.Alg()) {
		return refuse(jwt.ErrTokenSignatureInvalid)
	}
	if err := t.checkHeader(parsed); err != nil {
		return refuse(err)
	}
	sig, err := t.parser.DecodeSegment(parts[2])
	if err != nil {
		return refuse(jwt.ErrTokenMalformed)
	}
	text := token[:len(parts[0])+1+len(parts[1])]
	if parsed.Method == jwt.SigningMethodHS256 {
		if parsed.Method.Verify(text, sig, t.secret) != nil {
			return refuse(jwt.ErrTokenSignatureInvalid)
		}
		return nil
	}
	kid, _ := parsed.Header["kid"].(string)
	if parsed.Method == jwt.SigningMethodEdDSA {
		if k := t.local.find(kid); k != nil && (kid != "" || t.keys == nil) {
			if !k.verify(text, sig) {
				return refuse(jwt.ErrTokenSignatureInvalid)
			}
			return nil
		}
	}
	if t.keys == nil {
		return refuse(errUnknownKey)
	}
	key, generation, err := t.keys.find(ctx, kid, parsed.Method.Alg())
	switch {
	case errors.Is(err, ErrDenied):
		return refuse(err)
	case err != nil:
		return err
	case parsed.Method.Verify(text, sig, key) != nil:
		return refuse(jwt.ErrTokenSignatureInvalid)
	}
	v.keys = generation
	return nil
}

// checkHeader refuses what the header may not say.
func (t *tokens) checkHeader(parsed *jwt.Token) error {
	if _, ok := parsed.Header["crit"]; ok { // RFC 7515, 4.1.11: what is not understood
		return errHeader
	}
	if kid, ok := parsed.Header["kid"]; ok {
		if s, isText := kid.(string); !isText || len(s) > maxKeyID {
			return errHeader
		}
	}
	return nil
}

// checkOrigin holds tokens of the key set to who issues them, and for whom.
func (t *tokens) checkOrigin(v *verdict) error {
	if v.keys == 0 {
		return nil
	}
	if t.issuer != "" && v.claims.Issuer != t.issuer {
		return fmt.Errorf("%w: the token is of another issuer", ErrUnauthenticated)
	}
	if t.audience == "" {
		return nil
	}
	for _, a := range v.claims.Audience {
		if a == t.audience {
			return nil
		}
	}
	return fmt.Errorf("%w: the token is for another audience", ErrUnauthenticated)
}

var errHeader = errors.New("a header that is not for this server")

// fault says in own words what is wrong with a token: the library's may repeat
// what stands in it.
func fault(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "the token is malformed"
	case errors.Is(err, errUnknownKey):
		return "the token's key is unknown"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "the token's signature is wrong"
	}
	return "the token cannot be verified here"
}

// continueWithin is how soon a player asks for the next file of a playlist, or
// has stopped.
const continueWithin = 30 * time.Second

// check returns why v's token is not good now for r. With continues, an expired
// one is still good for a player that goes on.
func (v *verdict) check(r *Request, now time.Time, continues bool) error {
	if v.claims.early(now) {
		return fmt.Errorf("%w: the token is not good yet", ErrUnauthenticated)
	}
	if err := v.claims.permits(r); err != nil {
		return err
	}
	if v.claims.expired(now) {
		last := time.Unix(v.played.Load(), 0)
		if !continues || !r.Continues || now.Sub(last) > continueWithin {
			return fmt.Errorf("%w: the token has expired", ErrUnauthenticated)
		}
	}
	if r.Action == Play {
		v.played.Store(now.Unix())
	}
	return nil
}
