package srt

import (
	"context"
	"errors"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// onWire is what SRT adds to a rejection reason in the handshake (libsrt's
// URQ_FAILURE_TYPES). gosrt's own constants have it for the reasons of SRT
// itself and lack it for those of access control, which libsrt then reads as
// "unknown or erroneous".
const onWire = 1000

// Rejection codes of SRT access control (libsrt, access_control.h).
const (
	rejectBadRequest   gosrt.RejectionReason = onWire + 1400
	rejectUnauthorized gosrt.RejectionReason = onWire + 1401
	rejectOverload     gosrt.RejectionReason = onWire + 1402
	rejectForbidden    gosrt.RejectionReason = onWire + 1403
	rejectNotFound     gosrt.RejectionReason = onWire + 1404
	rejectBadMode      gosrt.RejectionReason = onWire + 1405
	rejectConflict     gosrt.RejectionReason = onWire + 1409
	rejectMedia        gosrt.RejectionReason = onWire + 1415
	rejectInternal     gosrt.RejectionReason = onWire + 1500
	rejectDown         gosrt.RejectionReason = onWire + 1503
)

// rejections maps sentinels to codes; the first that matches counts.
var rejections = []struct {
	err  error
	code gosrt.RejectionReason
}{
	{ingest.ErrClosing, rejectDown},
	{errNoPassphrase, gosrt.REJ_UNSECURE},
	{errBadPassphrase, gosrt.REJ_BADSECRET},
	{errEncrypted, gosrt.REJ_UNSECURE},
	{errVersion, gosrt.REJ_VERSION},
	{stream.ErrOffline, rejectNotFound},
	{stream.ErrOverloaded, rejectOverload},
	{ingest.ErrKicked, rejectForbidden},
	{stream.ErrBusy, rejectConflict},
	{auth.ErrPaused, rejectOverload},
	{auth.ErrForbidden, rejectForbidden},
	{auth.ErrDenied, rejectUnauthorized},
	{streamkey.ErrInvalid, rejectBadRequest},
	{ingest.ErrNotPlayable, rejectBadMode},
	{ingest.ErrTooLarge, rejectOverload},
	{ingest.ErrBitrate, rejectOverload},
	{ingest.ErrNoTracks, rejectMedia},
	{media.ErrUnsupportedCodec, rejectMedia},
	{errMode, rejectBadMode},
	{errType, rejectMedia},
	{ingest.ErrBadRequest, rejectBadRequest},
	{context.DeadlineExceeded, rejectOverload},
}

func rejection(err error) gosrt.RejectionReason {
	for _, r := range rejections {
		if errors.Is(err, r.err) {
			return r.code
		}
	}
	return rejectInternal
}
