package chatws

import (
	"fmt"
	"time"
)

// Refusal is why a command, or an act of the application, was not obeyed.
type Refusal struct {
	Code    ErrorCode
	Message string
	// RetryAfter is after how long the same may succeed; 0: it will not.
	RetryAfter time.Duration
}

var _ error = (*Refusal)(nil)

// Error implements error.
func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Message }

func refuse(code ErrorCode, format string, args ...any) error {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

func refuseFor(d time.Duration, code ErrorCode, format string, args ...any) error {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...), RetryAfter: d}
}

// event reports the refusal of a command with an id.
func (r *Refusal) event(id string) *Error {
	e := &Error{ID: id, Code: r.Code, Message: r.Message}
	if r.RetryAfter > 0 {
		e.RetryAfter = max(1, r.RetryAfter.Milliseconds())
	}
	return e
}
