package auth

import (
	"fmt"
	"strings"

	"github.com/miju-live/miju/streamkey"
)

// Users are the names and passwords that encoders have which know no tokens. The
// nil Users has nobody.
type Users struct {
	all      map[string]user
	apps     Patterns
	attempts *Attempts
}

type user struct {
	password string
	keys     Patterns
}

// UserSubject begins the subject of who publishes by name and password.
const UserSubject = OwnSubject + "user:"

// maxUser bounds a user's name, in bytes.
const maxUser = 64

// ReadUsers reads a file that nobody else may read: a name, a password and a
// pattern of keys on each line, with spaces between; lines with # are comments.
func ReadUsers(path string) (*Users, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	return parseUsers(path, string(b))
}

// parseUsers reads the text of a file. What is wrong with it is said without
// repeating it.
func parseUsers(path, text string) (*Users, error) {
	u := &Users{all: map[string]user{}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 3 || len(fields[0]) > maxUser || strings.ContainsAny(fields[0], "&=?%") {
			return nil, fmt.Errorf("%s, line %d: it must be a name (without & = ? %%), a password and a pattern like hw/truck", path, n)
		}
		if _, twice := u.all[fields[0]]; twice {
			return nil, fmt.Errorf("%s, line %d: a user is there twice", path, n)
		}
		keys := Patterns(strings.Split(fields[2], ","))
		if keys.Check() != nil { // what it says may be a password with a blank in it
			return nil, fmt.Errorf("%s, line %d: the third word must be a pattern like hw/truck", path, n)
		}
		u.all[fields[0]] = user{password: fields[1], keys: keys}
		for _, k := range keys {
			app, _, _ := strings.Cut(k, "/")
			u.apps = append(u.apps, app)
		}
	}
	if len(u.all) == 0 {
		return nil, fmt.Errorf("%s has no user", path)
	}
	return u, nil
}

// Publish reports whether some user may publish in app.
func (u *Users) Publish(app string) bool {
	if u == nil {
		return false
	}
	for _, pattern := range u.apps {
		if matchSegment(pattern, app) {
			return true
		}
	}
	return false
}

// Attempts counts the wrong passwords; it may be nil.
func (u *Users) Attempts() *Attempts { return u.attempts }

// Password returns a user's.
func (u *Users) Password(name string) (password string, ok bool) {
	if u == nil {
		return "", false
	}
	x, ok := u.all[name]
	return x.password, ok
}

func (u *Users) may(name string, k streamkey.Key) bool {
	return u != nil && u.all[name].keys.match(k)
}

// byUser judges who has proved to know a password.
func (d *Doors) byUser(r *Request) (Grant, error) {
	if r.Action != Publish || !d.users.may(r.User, r.Key) {
		return Grant{}, fmt.Errorf("%w: the user may not do this", ErrForbidden)
	}
	return Grant{Subject: UserSubject + r.User, Name: r.Name}, nil
}

// Users returns who may publish by name and password; nil is nobody.
func (d *Doors) Users() *Users { return d.users }
