package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// use is what processes have used so far, and hold.
type use struct {
	cpu time.Duration
	rss int64 // bytes
}

const (
	// clockTick is the unit of CPU time in /proc, the same on all machines
	// that Go runs on (sysconf(_SC_CLK_TCK)).
	clockTick = 10 * time.Millisecond
	// fieldUserTime and those after it are places in /proc/PID/stat behind the name
	// in parentheses (proc_pid_stat(5) counts from 1 with these at 14, 15 and 24).
	fieldUserTime, fieldSystemTime, fieldRSS = 11, 12, 21
	// maxProcFile bounds what is read of a file in /proc.
	maxProcFile = 64 << 10
)

// ParsePIDs reads process IDs with commas between them.
func ParsePIDs(s string) ([]int, error) {
	var pids []int
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		pid, err := strconv.Atoi(part)
		if err != nil || pid < 1 {
			return nil, fmt.Errorf("--pid has %q, it must be process IDs like 123,456", part)
		}
		pids = append(pids, pid)
	}
	if len(pids) > 0 && runtime.GOOS != "linux" {
		return nil, errors.New("--pid reads /proc, which only Linux has")
	}
	return pids, nil
}

// usesOf sums what the processes have used.
func usesOf(pids []int) (sum use, err error) {
	for _, pid := range pids {
		b, err := readProc(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return sum, fmt.Errorf("--pid: %w", err)
		}
		u, err := parseStat(b)
		if err != nil {
			return sum, fmt.Errorf("--pid: /proc/%d/stat: %w", pid, err)
		}
		sum.cpu += u.cpu
		sum.rss += u.rss
	}
	return sum, nil
}

func readProc(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxProcFile))
}

// parseStat reads /proc/PID/stat, in which the name may hold anything.
func parseStat(b []byte) (u use, err error) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= fieldRSS {
		return u, fmt.Errorf("%d fields", len(fields))
	}
	number := func(i int) int64 {
		n, parseErr := strconv.ParseInt(string(fields[i]), 10, 64)
		if parseErr != nil && err == nil {
			err = parseErr
		}
		return n
	}
	u.cpu = time.Duration(number(fieldUserTime)+number(fieldSystemTime)) * clockTick
	u.rss = number(fieldRSS) * int64(os.Getpagesize())
	return u, err
}

// machineTimes reads how long all cores were busy and idle so far; false where
// there is no /proc.
func machineTimes() (busy, idle float64, ok bool) {
	b, err := readProc("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	return parseMachine(b)
}

// parseMachine reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal (proc_stat(5)); guest time is in user already.
func parseMachine(b []byte) (busy, idle float64, ok bool) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 5 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, field := range fields[1:min(len(fields), 9)] {
		v, err := strconv.ParseFloat(string(field), 64)
		if err != nil {
			return 0, 0, false
		}
		if i == 3 || i == 4 {
			idle += v
		} else {
			busy += v
		}
	}
	return busy, idle, true
}
