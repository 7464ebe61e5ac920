package main

import "github.com/prometheus/client_golang/prometheus"

// collectHooks writes what the application was asked and told.
func (c collector) collectHooks(m metricWriter) {
	if c.hooks == nil {
		return
	}
	st := c.hooks.Stats()
	for name, o := range st.Asked {
		for outcome, n := range map[string]uint64{"permitted": o.Permitted, "denied": o.Denied, "failed": o.Failed} {
			m.counter("miju_hook_questions_total", "What --hook was asked, by what came of it; failed were decided by --hook-fail.", n, "question", name, "outcome", outcome)
		}
		m.write(prometheus.CounterValue, "miju_hook_question_seconds_total", "How long all answers of --hook together took.", o.Seconds, []string{"question", name})
	}
	m.counter("miju_hook_remembered_total", "Requests of players of HLS and readers of chat that an answer before was good for.", st.Remembered)
	m.gauge("miju_hook_players", "Players of HLS and readers of chat whose answers are remembered.", float64(st.Players))
	m.gauge("miju_hook_waiting", "Events that wait to be told to --hook.", float64(st.Told.Waiting))
	failing := 0.0
	if st.Told.Failing {
		failing = 1
	}
	m.gauge("miju_hook_queue_failing", "1 while the queue of --hook cannot be written to.", failing)
	m.counter("miju_hook_delivered_total", "Events that --hook was told.", st.Told.Delivered)
	m.counter("miju_hook_retries_total", "Tries to tell --hook an event that failed.", st.Told.Retried)
	const lost = "Events that --hook was never told, by why."
	m.counter("miju_hook_lost_total", lost, st.Told.Expired, "reason", "expired")
	m.counter("miju_hook_lost_total", lost, st.Told.Overflowed, "reason", "overflow")
}
