package auth

import (
	"fmt"
	"strings"

	"github.com/miju-live/miju/peer"
)

// access is from where an action may be asked for, whatever the credential.
type access struct {
	allow, deny [Admin + 1]peer.Networks
	limited     bool
}

// newAccess reads lists like "publish=10.0.0.0/8,192.0.2.7,admin=10.1.0.0/16".
// Networks before the first action are of all.
func newAccess(allow, deny string) (a access, err error) {
	for _, list := range []struct {
		flag, text string
		into       *[Admin + 1]peer.Networks
	}{{"allow", allow, &a.allow}, {"deny", deny, &a.deny}} {
		actions := []Action{Publish, Play, Chat, Admin}
		for part := range strings.SplitSeq(list.text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if name, rest, named := strings.Cut(part, "="); named {
				if actions = actionNamed(strings.TrimSpace(name)); actions == nil {
					return a, fmt.Errorf("--%s has %.30q, it may have publish, play, chat and admin", list.flag, name)
				}
				part = strings.TrimSpace(rest)
			}
			network, err := peer.ParseNetwork(part)
			if err != nil {
				return a, fmt.Errorf("--%s: %w", list.flag, err)
			}
			for _, action := range actions {
				list.into[action] = append(list.into[action], network)
			}
			a.limited = true
		}
	}
	return a, nil
}

func actionNamed(name string) []Action {
	for _, action := range []Action{Publish, Play, Chat, Admin} {
		if name == action.String() {
			return []Action{action}
		}
	}
	return nil
}

// check returns why r may not come from where it does.
func (a *access) check(r *Request) error {
	if !a.limited {
		return nil
	}
	action := r.Action
	if action == Moderate {
		action = Chat
	}
	if action > Admin {
		return nil
	}
	from := addressOf(r.RemoteAddr)
	if a.deny[action].Contain(from) || len(a.allow[action]) > 0 && !a.allow[action].Contain(from) {
		return fmt.Errorf("%w: not from this address", ErrForbidden)
	}
	return nil
}
