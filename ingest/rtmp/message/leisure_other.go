//go:build !linux

package message

const canLinger = false

func setLowat(uintptr, int) {}
