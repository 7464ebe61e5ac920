package main

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/miju-live/miju/auth"
)

// metrics answers Prometheus from the Stats of every package. No label holds
// what a peer can choose, so that the number of series stays bounded.
func (s *server) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{s})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

type collector struct{ *server }

// Describe leaves the collector unchecked: outcomes and statuses appear when
// they first happen.
func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	m := metricWriter{out}
	hub, publishers, viewers := c.hub.Stats(), c.ingest.Stats(), c.origin.Stats()

	m.gauge("miju_streams", "Streams that are live.", float64(len(c.hub.Streams())))
	m.counter("miju_streams_published_total", "Publishers that were given a stream key.", hub.Published)
	m.counter("miju_ingest_frames_total", "Frames that publishers brought to live streams.", hub.Frames)
	m.counter("miju_ingest_bytes_total", "Coded bytes that publishers brought to live streams.", hub.Bytes)
	m.gauge("miju_ingest_bits_per_second", "What all publishers send, over the last seconds, as --max-ingest measures it.", c.ingest.IngestRate())
	m.gauge("miju_publisher_connections", "Connections of encoders that are open, admitted or not.", float64(publishers.Open))
	m.gauge("miju_players", "RTMP and SRT players that are connected.", float64(publishers.Players))
	for r, n := range publishers.Repairs {
		m.counter("miju_repairs_total", "What had to be done to frames of publishers whose timestamps or tracks were broken, by kind.", n, "kind", r.String())
	}
	m.gauge("miju_rtmp_unfinished_bytes", "Bytes held by RTMP messages that have begun and not ended.", float64(c.rtmpServer.Stats().UnfinishedBytes))
	for o, n := range publishers.Ended {
		if o.Action == auth.Play {
			m.counter("miju_players_ended_total", "RTMP and SRT players that ended, by outcome.", n,
				"protocol", o.Protocol, "reason", string(o.Reason), "admitted", strconv.FormatBool(o.Admitted))
			continue
		}
		m.counter("miju_publishers_ended_total", "Connections of encoders that ended, by outcome.", n,
			"protocol", o.Protocol, "reason", string(o.Reason), "admitted", strconv.FormatBool(o.Admitted))
	}
	m.counter("miju_reader_skips_total", "Jumps of lagging viewers to the newest random access point.", hub.Skips)
	m.counter("miju_gop_overflows_total", "GOPs that grew too large to keep for new viewers.", hub.GOPOverflows)

	const viewersHelp = "Viewers that are connected."
	m.gauge("miju_viewers", viewersHelp, float64(viewers.FLVViewers), "protocol", "http-flv")
	m.gauge("miju_viewers", viewersHelp, float64(viewers.WebSocketFLVViewers), "protocol", "ws-flv")
	m.gauge("miju_viewers", viewersHelp, float64(viewers.TSViewers), "protocol", "http-ts")
	m.gauge("miju_viewers_admitted", "Viewers of all protocols that hold a place: all but players of HLS.", float64(hub.Viewers))
	for r, n := range hub.Refused {
		m.counter("miju_viewers_refused_total", "Viewers that were refused, by the limit that was reached.", n, "reason", r.String())
	}
	m.gauge("miju_egress_bits_per_second", "What all viewers are sent, over the last 3 s, as --max-egress measures it.", hub.EgressRate)
	const bytesHelp = "Bytes sent to viewers and CDN edges."
	m.counter("miju_egress_bytes_total", bytesHelp, viewers.FLVBytes, "protocol", "flv")
	m.counter("miju_egress_bytes_total", bytesHelp, c.rtmpServer.Stats().PlayedBytes, "protocol", "rtmp")
	m.counter("miju_egress_bytes_total", bytesHelp, c.srt.Stats().PlayedBytes, "protocol", "srt")
	m.counter("miju_egress_bytes_total", bytesHelp, viewers.HLSBytes, "protocol", "hls")
	m.counter("miju_egress_bytes_total", bytesHelp, viewers.TSBytes, "protocol", "ts")
	m.gauge("miju_batch_seconds", "How often viewers are written to by --flv-batch auto; 0 is at every video frame.", c.hub.Pace().Seconds())
	m.counter("miju_slow_viewers_total", "Viewers that were disconnected because they took nothing.", viewers.Slow)
	for status, n := range viewers.Failures {
		m.counter("miju_http_failures_total", "Requests of viewers that were answered with an error.", n, "status", strconv.Itoa(status))
	}
	c.collectHLS(m)
	c.collectDoors(m)
	c.collectTLS(m)
	c.collectPeers(m)
	c.collectHooks(m)
	c.collectChat(m)
}

// metricWriter writes metrics with their labels as name, value, name, value.
type metricWriter struct{ out chan<- prometheus.Metric }

func (m metricWriter) counter(name, help string, v uint64, labels ...string) {
	m.write(prometheus.CounterValue, name, help, float64(v), labels)
}

func (m metricWriter) gauge(name, help string, v float64, labels ...string) {
	m.write(prometheus.GaugeValue, name, help, v, labels)
}

func (m metricWriter) write(t prometheus.ValueType, name, help string, v float64, labels []string) {
	names := make([]string, 0, len(labels)/2)
	values := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	metric, err := prometheus.NewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(prometheus.NewDesc(name, help, names, nil), err)
	}
	m.out <- metric
}
