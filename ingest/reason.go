package ingest

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Reason classes why a publisher's connection ended. It is one of the
// constants, so that metrics stay bounded.
type Reason string

// The reasons.
const (
	ReasonEnded       Reason = "ended"
	ReasonCut         Reason = "cut"
	ReasonTimeout     Reason = "timeout"
	ReasonClosing     Reason = "closing"
	ReasonBusy        Reason = "busy"
	ReasonDenied      Reason = "denied"
	ReasonUndecided   Reason = "undecided"
	ReasonInvalidKey  Reason = "invalid_key"
	ReasonCodec       Reason = "unsupported_codec"
	ReasonNoTracks    Reason = "no_tracks"
	ReasonBadRequest  Reason = "bad_request"
	ReasonTooLarge    Reason = "too_large"
	ReasonNotPlayable Reason = "not_playable"
	ReasonOffline     Reason = "not_live"
	ReasonOverload    Reason = "overloaded"
	ReasonReplaced    Reason = "replaced"
	ReasonBitrate     Reason = "over_bitrate"
	ReasonKicked      Reason = "kicked"
)

// Outcome is what a connection came to, as a label set for metrics.
type Outcome struct {
	// Action is auth.Publish for connections, too, that never said what they
	// wanted.
	Action   auth.Action
	Protocol string
	Reason   Reason
	Admitted bool
}

// reasons maps sentinels to classes; the first that matches counts.
var reasons = []struct {
	err    error
	reason Reason
}{
	{ErrClosing, ReasonClosing},
	{ErrReplaced, ReasonReplaced},
	{ErrKicked, ReasonKicked},
	{stream.ErrBusy, ReasonBusy},
	{stream.ErrOffline, ReasonOffline},
	{stream.ErrOverloaded, ReasonOverload},
	{auth.ErrDenied, ReasonDenied},
	{streamkey.ErrInvalid, ReasonInvalidKey},
	{media.ErrUnsupportedCodec, ReasonCodec},
	{media.ErrBadConfig, ReasonBadRequest},
	{ErrNoTracks, ReasonNoTracks},
	{ErrNotPlayable, ReasonNotPlayable},
	{ErrBitrate, ReasonBitrate},
	{ErrTooLarge, ReasonTooLarge},
	{ErrBadRequest, ReasonBadRequest},
	{os.ErrDeadlineExceeded, ReasonTimeout},
	{context.DeadlineExceeded, ReasonTimeout},
	{io.EOF, ReasonEnded},
	{ErrAsked, ReasonEnded},
}

// undecided is why it could not be decided whether a peer may.
type undecided struct{ error }

// Unwrap returns the authorizer's own error.
func (u undecided) Unwrap() error { return u.error }

func reasonOf(err error) Reason {
	if u := (undecided{}); errors.As(err, &u) {
		return ReasonUndecided
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return ReasonCut
}
