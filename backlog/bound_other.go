//go:build !linux && !darwin

package backlog

func bound(uintptr) {}
