package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// load is what a process has used so far, and holds.
type load struct {
	cpu time.Duration
	rss int64 // bytes
}

const (
	// clockTick is the unit of CPU time in /proc, the same on all machines
	// that Go runs on (sysconf(_SC_CLK_TCK)).
	clockTick = 10 * time.Millisecond
	// fieldUserTime and fieldRSS are places in /proc/PID/stat behind the name
	// in parentheses (proc_pid_stat(5) counts from 1 with these at 14 and 24).
	fieldUserTime, fieldSystemTime, fieldRSS = 11, 12, 21
)

// loadOf reads /proc, nothing if pid is 0.
func loadOf(pid int) (u load, err error) {
	if pid == 0 {
		return u, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("--pid: %w", err)
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= fieldRSS {
		return u, fmt.Errorf("--pid: /proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(i int) int64 {
		n, parseErr := strconv.ParseInt(string(fields[i]), 10, 64)
		if parseErr != nil && err == nil {
			err = fmt.Errorf("--pid: /proc/%d/stat: %w", pid, parseErr)
		}
		return n
	}
	u.cpu = time.Duration(number(fieldUserTime)+number(fieldSystemTime)) * clockTick
	u.rss = number(fieldRSS) * int64(os.Getpagesize())
	return u, err
}
