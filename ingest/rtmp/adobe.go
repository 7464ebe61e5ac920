package rtmp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/remux/amf0"
)

const (
	// challengeLife is how long an encoder may take from its second connection
	// to its third.
	challengeLife = 30 * time.Second
	nonceSize     = 8
	macSize       = 16
	challengeSize = nonceSize + 8 + macSize
	// maxAuthQuery bounds what stands behind an app that is looked at, in bytes.
	maxAuthQuery = 1024
)

// adobe asks encoders for a name and a password in the way of Adobe's servers
// (authmod=adobe): connect is refused with the question, the encoder connects
// anew with its name, is refused with a challenge, and connects a third time with
// what it makes of that and its password. Nothing is kept between: a challenge
// proves by itself that it is ours, young, and for this user at this address.
type adobe struct {
	users *auth.Users
	key   [32]byte
}

// AskUsers has encoders that connect to an app in which u may publish asked for
// their name and password. It is to be called before the first listener.
func (s *Server) AskUsers(u *auth.Users) { s.adobe.users = u }

// question is an error in whose text encoders look for these words.
func question(why error, text string) error {
	return fmt.Errorf("%w: [ AccessManager.Reject ] : [ %s", why, text)
}

// ask returns the user that a connect proves to come from, "" if there is nobody
// to ask for: in an app without users, of a player, or where a token stands behind the
// app.
func (a *adobe) ask(connect amf0.Object, host string, now time.Time) (user string, err error) {
	app, behind, _ := strings.Cut(connect.Text("app"), "?")
	encoder := connect.Text("type") == "nonprivate" || strings.HasPrefix(connect.Text("flashVer"), "FMLE/")
	q := query{behind}
	switch {
	case len(behind) > maxAuthQuery || !a.users.Publish(strings.Trim(app, "/")) || !encoder || q.value("token") != "":
		return "", nil
	case q.value("authmod") != "adobe" || q.value("user") == "":
		return "", question(ingest.ErrAsked, "code=403 need auth; authmod=adobe ] : ")
	}
	user = q.value("user")
	if q.value("response") == "" {
		c := a.challenge(user, host, now)
		return "", question(ingest.ErrAsked, fmt.Sprintf("authmod=adobe ] : ?reason=needauth&user=%s&salt=%s&challenge=%s&opaque=%s", user, a.salt(user), c, c))
	}
	if err := a.users.Attempts().May(auth.Publish, host); err != nil {
		return "", err
	}
	if !a.proves(user, host, q, now) {
		a.users.Attempts().Wrong(auth.Publish, host)
		return "", question(auth.ErrWrong, "authmod=adobe ] : ?reason=authfailed&opaque="+a.challenge(user, host, now))
	}
	return user, nil
}

// proves reports whether a response was made with the user's password. The work is
// the same for a user that does not exist.
func (a *adobe) proves(user, host string, q query, now time.Time) bool {
	opaque, own := q.value("opaque"), q.value("challenge")
	password, known := a.users.Password(user)
	want := response(user, a.salt(user), password, opaque, own)
	right := hmac.Equal([]byte(want), []byte(q.value("response")))
	return a.isOurs(opaque, user, host, now) && right && known
}

// response is what an encoder makes of a challenge and one of its own.
func response(user, salt, password, challenge, own string) string {
	return sum64(sum64(user+salt+password) + challenge + own)
}

func sum64(s string) string {
	b := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(b[:])
}

func (a *adobe) mac(what, user, host string, b []byte) []byte {
	h := hmac.New(sha256.New, a.key[:])
	fmt.Fprintf(h, "%s\x00%d\x00%s%d\x00%s", what, len(user), user, len(host), host)
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// salt is the same for a user as long as this server runs.
func (a *adobe) salt(user string) string { return hex.EncodeToString(a.mac("salt", user, "", nil)[:6]) }

func (a *adobe) challenge(user, host string, now time.Time) string {
	b := make([]byte, nonceSize, challengeSize)
	rand.Read(b)
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(b, a.mac("challenge", user, host, b)...))
}

func (a *adobe) isOurs(challenge, user, host string, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(challenge)
	if err != nil || len(b) != challengeSize || !hmac.Equal(b[nonceSize+8:], a.mac("challenge", user, host, b[:nonceSize+8])) {
		return false
	}
	age := now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(b[nonceSize:]))))
	return age >= 0 && age <= challengeLife
}

// host is the peer's address without its port, which changes between its
// connections.
func (c *conn) host() string {
	remote := c.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
