package main

import "github.com/miju-live/miju/auth"

// collectDoors writes what was decided at the doors.
func (c collector) collectDoors(m metricWriter) {
	if c.doors == nil {
		return
	}
	m.counter("miju_auth_signature_checks_total", "Tokens whose signature was looked at; later uses of one that was right are not.", c.doors.Checked())
	m.counter("miju_auth_paused_total", "Credentials that were not looked at, since too many of their address were wrong.", c.doors.Attempts().Refused())
	for a := auth.Publish; a <= auth.Admin; a++ {
		granted, denied, undecided := c.doors.Decided(a)
		for outcome, n := range map[string]uint64{"granted": granted, "denied": denied, "undecided": undecided} {
			if n > 0 {
				m.counter("miju_auth_decisions_total", "Requests to publish, play, chat or administer, by what was decided.", n, "action", a.String(), "outcome", outcome)
			}
		}
	}
}
