package main

// collectHLS writes the metrics of HLS packaging.
func (c collector) collectHLS(m metricWriter) {
	s := c.origin.HLSStats()
	m.gauge("miju_hls_packagers", "Streams that are packaged for HLS.", float64(s.Packagers))
	m.gauge("miju_hls_held_bytes", "HLS segments in memory.", float64(s.Held))
	m.gauge("miju_hls_stored_segments", "HLS segments in files.", float64(s.Stored))
	m.gauge("miju_hls_waiting_requests", "HLS requests that wait for what is not there yet.", float64(s.Waiting))
	for kind, n := range s.Requests {
		m.counter("miju_hls_requests_total", "HLS requests by what they are for.", n, "kind", kind)
	}
	m.counter("miju_hls_segments_total", "HLS segments made.", s.Segments)
	m.counter("miju_hls_parts_total", "HLS parts made.", s.Parts)
	m.counter("miju_hls_long_parts_total", "HLS parts over the part target, because no frame came for that long.", s.LongParts)
	m.counter("miju_hls_short_parts_total", "HLS parts under 85 % of the part target, because the frame rate varies.", s.ShortParts)
	m.counter("miju_hls_forced_cuts_total", "HLS segments that were cut inside a GOP, because it was too long.", s.Forced)
	m.counter("miju_hls_gaps_total", "HLS segments of a track that had no frame.", s.Gaps)
	m.counter("miju_hls_dropped_frames_total", "Frames that no HLS segment could take.", s.Dropped)
}
