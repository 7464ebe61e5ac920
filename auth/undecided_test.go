package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUndecidedFillsNoLog: who asks what cannot be decided, again and again, has a
// line each ten seconds.
func TestUndecidedFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			u   Undecided
			out bytes.Buffer
			log = slog.New(slog.NewTextHandler(&out, nil))
		)
		u.Log(log, "gone", fmt.Errorf("look: %w", context.Canceled))
		for range 1000 {
			u.Log(log, "cannot decide", errors.New("no keys"), "stream", "live/alice")
		}
		time.Sleep(undecidedLog * time.Second)
		u.Log(log, "cannot decide", errors.New("no keys"), "stream", "live/alice")
		if got := out.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "gone") || !strings.Contains(got, "unlogged=999") {
			t.Errorf("%s", got)
		}
	})
}
