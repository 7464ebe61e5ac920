package srt

import (
	"errors"

	gosrt "github.com/datarhei/gosrt"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/ingest"
	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// Rejection codes of SRT access control, as numbers of libsrt's
// access_control.h: gosrt has another one for a conflict.
const (
	rejectBadRequest   gosrt.RejectionReason = 1400
	rejectUnauthorized gosrt.RejectionReason = 1401
	rejectOverload     gosrt.RejectionReason = 1402
	rejectBadMode      gosrt.RejectionReason = 1405
	rejectConflict     gosrt.RejectionReason = 1409
	rejectMedia        gosrt.RejectionReason = 1415
	rejectInternal     gosrt.RejectionReason = 1500
	rejectDown         gosrt.RejectionReason = 1503
)

// rejections maps sentinels to codes; the first that matches counts.
var rejections = []struct {
	err  error
	code gosrt.RejectionReason
}{
	{ingest.ErrClosing, rejectDown},
	{stream.ErrBusy, rejectConflict},
	{auth.ErrDenied, rejectUnauthorized},
	{streamkey.ErrInvalid, rejectBadRequest},
	{ingest.ErrNotPlayable, rejectBadMode},
	{ingest.ErrTooLarge, rejectOverload},
	{ingest.ErrNoTracks, rejectMedia},
	{media.ErrUnsupportedCodec, rejectMedia},
	{errEncrypted, gosrt.REJ_UNSECURE},
	{ingest.ErrBadRequest, rejectBadRequest},
}

func rejection(err error) gosrt.RejectionReason {
	for _, r := range rejections {
		if errors.Is(err, r.err) {
			return r.code
		}
	}
	return rejectInternal
}
