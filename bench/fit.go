package bench

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// spareFiles is what the process has open beside its connections.
const spareFiles = 64

// fit says what stands in the way of so many connections, spread over the
// hosts of the targets. It raises the limit of open files as far as it may.
func fit(connections int, targets []*url.URL) error {
	need := uint64(connections + spareFiles)
	if have := raiseFiles(need); have < need {
		return fmt.Errorf("%d connections do not fit: this process may open %d files and needs %d (ulimit -Hn %d, as root; LimitNOFILE= in a unit)",
			connections, have, need, need)
	}
	b, err := readProc("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil // not Linux: it fails where it does
	}
	ports, ok := parsePortRange(string(b))
	hosts := map[string]bool{}
	for _, u := range targets {
		hosts[u.Host] = true
	}
	if ok && connections > ports*len(hosts) {
		return fmt.Errorf("%d connections do not fit: from here, %d local ports lead to each of %d servers (sysctl net.ipv4.ip_local_port_range, or run it on several machines)",
			connections, ports, len(hosts))
	}
	return nil
}

// parsePortRange returns how many ports "32768\t60999" are.
func parsePortRange(s string) (ports int, ok bool) {
	fields := strings.Fields(s)
	if len(fields) != 2 {
		return 0, false
	}
	low, err := strconv.ParseUint(fields[0], 10, 16)
	if err != nil {
		return 0, false
	}
	high, err := strconv.ParseUint(fields[1], 10, 16)
	if err != nil || high < low {
		return 0, false
	}
	return int(high-low) + 1, true
}
