//go:build !windows

package main

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/miju-live/miju/auth"
)

func TestDataDirIsOfOneServer(t *testing.T) {
	first := start(t)
	if s, err := listen(t.Context(), first.config, auth.Open{}, slog.New(slog.DiscardHandler)); !errors.Is(err, errDataInUse) {
		t.Errorf("another server on the same directory: %v, %v", s, err)
	}
	dir := first.config.Data.Dir
	first.stop()
	start(t, func(c *config) { c.Data.Dir = dir })
}
