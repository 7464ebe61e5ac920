package chatws

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// handshakeTimeout bounds the write of the handshake's answer.
const handshakeTimeout = 5 * time.Second

// readBufferSize is what is read from a connection at once, in bytes.
const readBufferSize = 4 << 10

var (
	errEarlyBytes = errors.New("the client sent frames before the handshake was answered")
	errHandshake  = errors.New("this is no handshake of WebSocket version 13")
	errProtocols  = errors.New("the client offers subprotocols, but not " + Subprotocol)
)

// isUpgrade reports whether r asks for a WebSocket (RFC 6455, 4.2.1).
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header["Upgrade"], "websocket") && hasToken(r.Header["Connection"], "upgrade")
}

// hasToken reports whether a list header (RFC 9110, 5.6.1) has a token, in
// whatever case.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// checkHandshake returns the client's key and the subprotocol to choose, if it
// offers any (RFC 6455, 4.2).
func checkHandshake(r *http.Request) (key, protocol string, err error) {
	key = r.Header.Get("Sec-WebSocket-Key")
	if raw, err := base64.StdEncoding.DecodeString(key); err != nil || len(raw) != 16 || r.Header.Get("Sec-WebSocket-Version") != "13" {
		return "", "", errHandshake
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	switch {
	case len(offered) == 0:
	case hasToken(offered, Subprotocol):
		protocol = Subprotocol
	default:
		return "", "", errProtocols
	}
	return key, protocol, nil
}

// acceptKey proves that the handshake was understood (RFC 6455, 4.2.2, 5.4).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgrade takes a request's connection over and answers the handshake.
func upgrade(w http.ResponseWriter, key, protocol string) (net.Conn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, http.StatusInternalServerError, "no_upgrade", "this connection cannot become a WebSocket")
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	if buffered.Reader.Buffered() > 0 {
		conn.Close()
		return nil, errEarlyBytes
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptKey(key) + "\r\n"
	if protocol != "" {
		answer += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err == nil {
		_, err = conn.Write([]byte(answer + "\r\n"))
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("answer the handshake: %w", err)
		}
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer the handshake: %w", err)
	}
	return conn, nil
}
