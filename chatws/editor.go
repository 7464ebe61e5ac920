package chatws

import (
	"context"
	"errors"
	"time"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/streamkey"
)

// Editor decides what is said, before anybody hears it. It must be safe for
// concurrent use and return soon after ctx ends.
type Editor interface {
	// Edit returns what is said instead of text, or text. An auth.Refusal is told
	// to the sender; any other error means that it could not be decided.
	Edit(ctx context.Context, s Speech) (string, error)
	// EditTimeout is how long Edit may take.
	EditTimeout() time.Duration
}

// Speech is what somebody wants to say.
type Speech struct {
	Room streamkey.Key
	From User
	Role auth.Role
	// Address is the sender's host; empty if it is not known.
	Address string
	Text    string
}

// EditBy has e decide about all messages. It must be called before the first
// connection.
func (s *Server) EditBy(e Editor) { s.editor = e }

// decide asks the editor, which there is, whether m may say text, and returns what is said. It
// waits; nothing else of m's is obeyed meanwhile, so that its messages keep
// their order.
func (m *member) decide(text string) (string, error) {
	s := m.server
	speech := Speech{Room: m.key, From: m.identity, Role: m.role, Text: text}
	if m.address.IsValid() {
		speech.Address = m.address.String()
	}
	ctx, cancel := m.deciding(context.Background(), s.editor.EditTimeout())
	defer cancel()
	said, err := s.editor.Edit(ctx, speech)
	var refusal *auth.Refusal
	switch {
	case err != nil && m.out.isClosing():
		return "", nil // nobody waits for the answer
	case errors.As(err, &refusal) && refusal.Message != "":
		return "", refuse(CodeRefused, "%s", refusal.Message)
	case errors.As(err, &refusal):
		return "", refuse(CodeRefused, "this may not be said")
	case err != nil:
		return "", refuseFor(2*time.Second, CodeUnavailable, "it cannot be decided now what may be said")
	case said == text:
		return text, nil
	}
	return cleanText(said, s.config.MaxText)
}
