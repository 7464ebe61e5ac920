//go:build unix

package bench

import (
	"syscall"
	"time"
)

// ownCPU is what this process has used so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raiseFiles lets this process open so many files, as far as it may, and
// returns how many it may open then.
func raiseFiles(want uint64) uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return want // nobody knows: let it fail where it does
	}
	if files(r.Cur) >= want {
		return files(r.Cur)
	}
	higher := r
	higher.Cur = field(r.Cur, want)
	if files(r.Max) < want { // only who is privileged may
		higher.Max = field(r.Max, want)
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) == nil {
			return want
		}
		higher = r
		higher.Cur = r.Max
	}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &higher) == nil {
		return files(higher.Cur)
	}
	return files(r.Cur)
}

// files and field hide that the fields of Rlimit are signed on some systems.
func files[T int64 | uint64](n T) uint64      { return uint64(n) }
func field[T int64 | uint64](_ T, n uint64) T { return T(n) }
