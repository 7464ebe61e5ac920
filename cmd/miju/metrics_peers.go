package main

// collectPeers writes what became of connections before anybody spoke on them.
func (c collector) collectPeers(m metricWriter) {
	peers := c.peers.Stats()
	const help = "TCP connections that were closed before anything was said on them, by reason."
	m.counter("miju_connections_refused_total", help, peers.Crowded, "reason", "address")
	m.counter("miju_connections_refused_total", help, peers.Malformed, "reason", "proxy_header")
	m.counter("miju_connections_proxied_total", "TCP connections that came with a PROXY header of a trusted proxy.", peers.Proxied)
}
