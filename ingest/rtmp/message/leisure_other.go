//go:build !linux

package message

const canTry = false

func tryRead(uintptr, []byte) (int, error) { return 0, nil }

func setLowat(uintptr, int) {}
