package chatws

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miju-live/miju/peer"
)

// Config rules every room.
type Config struct {
	MaxText     int `flag:"chat-max-text" group:"chat" help:"longest chat message, in characters" min:"1" max:"10000"`
	MaxFrameKiB int `flag:"chat-max-frame-kib" group:"chat" help:"largest frame a chat member may send, in KiB; a larger one closes the connection" min:"1" max:"1024"`
	Rate        int `flag:"chat-rate" group:"chat" help:"commands per second that a chat member may send for long; moderators ten times as many" min:"1" max:"1000"`
	Burst       int `flag:"chat-burst" group:"chat" help:"commands that a chat member may send at once; moderators ten times as many" min:"1" max:"10000"`
	RoomRate    int `flag:"chat-room-rate" group:"chat" help:"messages per second that a chat room takes, but for those of moderators" min:"1" max:"100000"`

	Batch    time.Duration `flag:"chat-batch" group:"latency" help:"longest that a message waits in a busy chat room, so that several go out in one write; 0 sends each at once" min:"0" max:"1s"`
	QueueKiB int           `flag:"chat-queue-kib" group:"chat" help:"what may wait for a chat member, in KiB; a member that lets more gather is closed as slow" min:"4" max:"65536"`
	Log      int           `flag:"chat-log" group:"chat" help:"events that a chat room keeps for members that come back" min:"1" max:"100000"`
	LogKiB   int           `flag:"chat-log-kib" group:"chat" help:"what these may take, in KiB; half of --chat-queue-kib at most" min:"16" max:"65536"`
	History  int           `flag:"chat-history" group:"chat" help:"messages that a new chat member gets of before" min:"0" max:"1000"`
	Linger   time.Duration `flag:"chat-linger" group:"chat" help:"how long a chat room that everybody left stays in memory" min:"0" max:"24h"`

	PresenceLimit int           `flag:"chat-presence-limit" group:"chat" help:"users up to which a chat room tells of each that comes or goes; in a larger one, of a sample" min:"0" max:"100000"`
	Reactions     string        `flag:"chat-reactions" group:"chat" help:"emoji that may be sent as reactions; empty: none"`
	MaxDelay      time.Duration `flag:"chat-max-delay" group:"chat" help:"how far a message's media time may be behind the live edge, and how long viewers hold it at most" min:"0" max:"10m"`

	Filter string `flag:"chat-filter" group:"chat" help:"file of words that nobody may say, one a line; read again when it changes"`

	MaxMembers         int `flag:"chat-max-members" group:"chat" help:"members of one chat room" min:"1" max:"1000000"`
	SocketLimit        int `flag:"chat-socket-limit" group:"chat" help:"members of one chat room from which on newcomers are sent to the chunks for CDNs, but for moderators; 0 is never" min:"0" max:"1000000"`
	MaxRooms           int `flag:"chat-max-rooms" group:"chat" help:"chat rooms in memory" min:"1" max:"1000000"`
	MaxConnections     int `flag:"chat-max-connections" group:"limits" help:"chat connections over all rooms" min:"1" max:"1000000"`
	AddressConnections int `flag:"chat-address-connections" group:"limits" help:"chat connections from one address (IPv6: from one /64), but the loopback address; 0 is no bound" min:"0" max:"1000000"`
	// Origins are the web pages that may chat here: * for all, or a list of hosts
	// or origins like a.example,https://b.example; pages of this server always may.
	Origins string
	// Proxies are who may send for others: their own address is nobody's.
	Proxies peer.Networks
}

// DefaultConfig lets every page chat, two commands a second.
func DefaultConfig() Config {
	return Config{
		MaxText: 500, MaxFrameKiB: 4, Rate: 2, Burst: 8, RoomRate: 200,
		Batch: 20 * time.Millisecond, QueueKiB: 256, Log: 1000, LogKiB: 128, History: 50, Linger: 10 * time.Minute,
		PresenceLimit: 200, Reactions: "👍 ❤️ 😂 😮 😢 👏 🎉 🔥", MaxDelay: 30 * time.Second,
		MaxMembers: 20000, MaxRooms: 20000, MaxConnections: 50000, AddressConnections: 500, Origins: "*",
	}
}

var errConfig = errors.New("chat settings")

// maxEmoji bounds an emoji, in bytes: a family of four is 25.
const maxEmoji = 64

// Check refuses what cannot be served with.
func (c Config) Check() error {
	for _, e := range c.reactions() {
		if len(e) > maxEmoji || !utf8.ValidString(e) {
			return fmt.Errorf("%w: --chat-reactions has %.20q, which is no emoji", errConfig, e)
		}
	}
	if c.Filter != "" {
		if _, err := (&filterFile{path: c.Filter}).read(); err != nil {
			return fmt.Errorf("--chat-filter: %w", err)
		}
	}
	return nil
}

func (c Config) reactions() []string {
	list := []string{}
	for _, e := range strings.FieldsFunc(c.Reactions, func(r rune) bool { return r == ' ' || r == ',' }) {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}
