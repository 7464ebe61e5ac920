package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// What begins a Grant's Credential: of a stream key, before its ID; of a token with
// an ID (jti); and of one without, before the beginning of its hash.
const (
	keyCredential  = "key:"
	idCredential   = "id:"
	hashCredential = "hash:"
)

// maxTokenID bounds a token's ID, in bytes; of those with a longer one the hash
// counts.
const maxTokenID = 128

// credentialOf returns the one of a token with that ID, or with none. What is hashed
// is what is signed of it: of a signature there may be others that are as good, as of
// ECDSA, which whoever has one can make.
func credentialOf(id, token string) string {
	signed := token[:max(0, strings.LastIndexByte(token, '.'))]
	hash := sha256.Sum256([]byte(signed))
	if id != "" && len(id) <= maxTokenID {
		return idCredential + id
	}
	return hashCredential + hex.EncodeToString(hash[:16])
}

// Revocable returns what to revoke so that a token, given whole or by its ID, is no
// good any more, and when it ends by itself; zero is never, or unknown. It does
// not verify the token.
func Revocable(s string) (credential string, until time.Time, err error) {
	parts := strings.Split(s, ".")
	if !looksLikeToken(s) {
		if s == "" || len(s) > maxTokenID || strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' }) {
			return "", until, fmt.Errorf("this is neither a token nor the ID of one")
		}
		return idCredential + s, until, nil
	}
	var c Claims
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return "", until, fmt.Errorf("the token is malformed")
	}
	if c.Expires != nil && c.ID == "" { // others may have the same ID, and more time
		until = c.Expires.Time
	}
	return credentialOf(c.ID, s), until, nil
}

// revoked are the tokens' credentials that were taken back.
type revoked struct {
	mu  sync.RWMutex
	all map[string]time.Time // until when they must be known, zero for ever
}

func (r *revoked) has(credential string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.all[credential]
	return ok
}

// Revoke makes a token no good from now on, by the Credential of its grants. After
// until it is forgotten, zero is never. Of a stream key it makes sure that nobody
// is let in who could have been a moment ago.
func (d *Doors) Revoke(credential string, until time.Time) {
	if strings.HasPrefix(credential, keyCredential) {
		d.known.forget()
		return
	}
	r := &d.revoked
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]time.Time{}
	}
	r.all[credential] = until
}

// forgetRevoked lets go of what has ended by itself.
func (d *Doors) forgetRevoked(now time.Time) {
	r := &d.revoked
	r.mu.Lock()
	defer r.mu.Unlock()
	for credential, until := range r.all {
		if !until.IsZero() && now.After(until.Add(skew)) {
			delete(r.all, credential)
		}
	}
}
