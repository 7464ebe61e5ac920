package chatws

// CloseCode is why the server ends a connection. Codes from 4000 on tell by
// their range whether to come back: 40xx yes, after a while that grows; 41xx
// no, it would end the same way.
type CloseCode uint16

// The close codes. Those below 4000 are the WebSocket's own (RFC 6455, 7.4.1).
const (
	CloseGoingAway   CloseCode = 1001
	CloseProtocol    CloseCode = 1002
	CloseInvalidData CloseCode = 1007 // text that is not UTF-8
	CloseTooBig      CloseCode = 1009
	CloseInternal    CloseCode = 1011

	CloseSlow      CloseCode = 4000
	CloseFull      CloseCode = 4001
	CloseSilent    CloseCode = 4002
	CloseUndecided CloseCode = 4003

	CloseFlood    CloseCode = 4100
	CloseDenied   CloseCode = 4101
	CloseBadFrame CloseCode = 4102
	CloseNoJoin   CloseCode = 4103
)

// Retry reports whether a client should come back by itself.
func (c CloseCode) Retry() bool {
	return c == CloseGoingAway || c == CloseInternal || c >= 4000 && c < 4100
}

// reason says in the close frame what the code means.
func (c CloseCode) reason() string {
	switch c {
	case CloseGoingAway:
		return "the server is going away"
	case CloseProtocol:
		return "this is no WebSocket"
	case CloseInvalidData:
		return "text must be UTF-8"
	case CloseTooBig:
		return "the frame is too big"
	case CloseInternal:
		return "the server failed, come back"
	case CloseSlow:
		return "slow, come back"
	case CloseFull:
		return "full, come back later"
	case CloseSilent:
		return "no sign of life, come back"
	case CloseUndecided:
		return "cannot decide now who may join, come back later"
	case CloseFlood:
		return "too many commands were refused"
	case CloseDenied:
		return "you may not join"
	case CloseBadFrame:
		return "commands are text frames"
	case CloseNoJoin:
		return "you did not join in time"
	}
	return ""
}
