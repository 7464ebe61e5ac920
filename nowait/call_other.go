//go:build !unix

package nowait

import "syscall"

// Possible says whether a socket's bytes can be had and left without waiting.
const Possible = false

func read(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.EINVAL }

func write(uintptr, []byte) (int, syscall.Errno) { return 0, syscall.EINVAL }
