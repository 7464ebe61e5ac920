package main

import (
	"fmt"
	"net"
	"strings"
)

// banner says what to paste into OBS and which URLs play.
func (s *server) banner() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", versionLine())
	if s.doors != nil {
		fmt.Fprintf(&b, "%s  Doors        %s\n", s.firstStart(), s.doorsSentence())
	}
	if s.rtmp != nil {
		fmt.Fprintf(&b, `  OBS          Settings > Stream > Service "Custom..."
                 Server      rtmp://%s/live
                 Stream key  NAME   (letters, digits, _ and -)
`, reachable(s.rtmp.Addr()))
	}
	if s.rtmps != nil {
		fmt.Fprintf(&b, "  RTMPS        rtmps://%s/live   (the certificate's name instead of localhost)\n", reachable(s.rtmps.Addr()))
	}
	if s.srt != nil {
		fmt.Fprintf(&b, "  SRT          srt://%s?streamid=publish:live/NAME\n", reachable(s.srt.Addr()))
	}
	if s.http != nil {
		at := reachable(s.http.Addr())
		fmt.Fprintf(&b, `  Watch, chat  http://%[1]s/live/NAME
  HTTP-FLV     http://%[1]s/live/NAME.flv
  LL-HLS       http://%[1]s/live/NAME.m3u8
  Chat         ws://%[1]s/live/NAME/chat
`, at)
		if s.config.Files.Demo {
			fmt.Fprintf(&b, "  Demo         http://%s/live/demo\n", at)
		}
	}
	if s.https != nil {
		fmt.Fprintf(&b, "  HTTPS        https://%s/live/NAME   (the certificate's name instead of localhost)\n", reachable(s.https.Addr()))
	}
	if s.admin != nil {
		with := ""
		if s.config.operatorsNeedToken() {
			with = "   (with a token: miju token --operate)"
		}
		fmt.Fprintf(&b, "  Operators    http://%s/api/v1/streams, /metrics, /healthz%s\n", reachable(s.admin.Addr()), with)
	}
	return b.String() + "\n"
}

// reachable is an address as a client on this machine can write it.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
