package main

import "os"

// lockFile does nothing: package syscall has no locks for this system.
func lockFile(*os.File) error { return nil }
