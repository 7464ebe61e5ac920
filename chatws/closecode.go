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
	CloseCrowded   CloseCode = 4004

	CloseFlood    CloseCode = 4100
	CloseDenied   CloseCode = 4101
	CloseBadFrame CloseCode = 4102
	CloseNoJoin   CloseCode = 4103
	CloseKicked   CloseCode = 4104
	CloseBanned   CloseCode = 4105
	CloseExpired  CloseCode = 4106
)

// closeReasons say in the close frame what the codes mean.
var closeReasons = map[CloseCode]string{
	CloseGoingAway:   "the server is going away",
	CloseProtocol:    "this is no WebSocket",
	CloseInvalidData: "text must be UTF-8",
	CloseTooBig:      "the frame is too big",
	CloseInternal:    "the server failed, come back",
	CloseSlow:        "slow, come back",
	CloseFull:        "full, come back later",
	CloseSilent:      "no sign of life, come back",
	CloseUndecided:   "cannot decide now who may join, come back later",
	CloseCrowded:     "crowded, read the chunks",
	CloseFlood:       "too many commands were refused",
	CloseDenied:      "you may not join",
	CloseBadFrame:    "commands are text frames",
	CloseNoJoin:      "you did not join in time",
	CloseKicked:      "you were asked to leave",
	CloseBanned:      "you are banned",
	CloseExpired:     "your grant is over",
}

// Retry reports whether a client should come back by itself.
func (c CloseCode) Retry() bool {
	return c == CloseGoingAway || c == CloseInternal || c >= 4000 && c < 4100
}

// reason says in the close frame what the code means.
func (c CloseCode) reason() string { return closeReasons[c] }
