package auth

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is what an operator sets of the doors.
type Config struct {
	Publish       string        `flag:"publish-auth" group:"auth" help:"who may publish: none-from-loopback (a token, but none from this machine while no proxy is trusted), token, open (everybody), or hook (--hook alone decides)"`
	Play          string        `flag:"play-auth" group:"auth" help:"who may play: open (everybody), token, or hook (--hook alone decides)"`
	Chat          string        `flag:"chat-auth" group:"auth" help:"who may join a chat: open (everybody, as a guest without a token), token, or hook (--hook alone decides)"`
	EnforceExpiry bool          `flag:"enforce-expiry" group:"auth" help:"end publishers and viewers when their token expires; without it, it only lets nobody new in"`
	JWKS          string        `flag:"jwks-url" group:"auth" help:"URL of a JSON Web Key Set whose keys sign tokens too (RS, PS, ES, EdDSA)"`
	JWKSRefresh   time.Duration `flag:"jwks-refresh" group:"auth" help:"how often the key set is fetched anew; a token with an unknown key ID has it fetched at once" min:"10s" max:"24h"`
	Issuer        string        `flag:"jwks-issuer" group:"auth" help:"take only tokens of this iss of the key set; empty takes all"`
	Audience      string        `flag:"jwks-audience" group:"auth" help:"take only tokens for this aud of the key set; empty takes all"`
	Users         string        `flag:"rtmp-users" group:"auth" help:"file of users for encoders that know names and passwords only (RTMP authmod=adobe): a name, a password and a pattern like hw/truck a line"`
	EdgeSecrets   string        `flag:"cdn-secret" group:"auth" help:"file of the secrets, one a line, by which edges are known that have checked already who plays (header Miju-CDN-Secret); read again when it changes"`
	URLSign       string        `flag:"url-sign" group:"auth" help:"signed URLs to take, besides tokens: aliyun, tencent, nginx, or several with commas"`
	SignPublish   string        `flag:"url-sign-publish" group:"auth" help:"file of the secrets of URLs signed to publish, one a line"`
	SignPlay      string        `flag:"url-sign-play" group:"auth" help:"file of the secrets of URLs signed to play, one a line; none of --url-sign-publish"`
	SignValidity  time.Duration `flag:"url-sign-validity" group:"auth" help:"how long after its timestamp an aliyun URL is good" min:"0s" max:"720h"`
	Allow         string        `flag:"allow" group:"limits" help:"networks that alone may publish, play, chat or administer, like publish=10.0.0.0/8,192.0.2.7,admin=10.1.0.0/16; those before the first = are for all four. An action that has none may be asked for from everywhere"`
	Deny          string        `flag:"deny" group:"limits" help:"networks that may not, in the same form; it counts before --allow"`
	WrongTries    int           `flag:"max-wrong-credentials" group:"limits" help:"wrong tokens, keys and passwords that one address (IPv6: one /64) may bring before it must pause, for a second and twice as long with each more, 30 s at most; a right one begins anew. It does not go for this machine and for --trusted-proxy. 0: no limit" min:"0" max:"1000000"`
	SignNginx     string        `flag:"url-sign-nginx" group:"auth" help:"what nginx's secure_link_md5 is of, with {expires}, {uri}, {addr} and {secret}"`
}

// The values of Config.Publish, Play and Chat.
const (
	ByToken          = "token"
	ByNobody         = "open"
	ByHook           = "hook"
	NoneFromLoopback = "none-from-loopback"
)

// ByHook reports whether the application alone decides about a: then Doors look at
// no credential and let everybody pass to it.
func (c Config) ByHook(a Action) bool {
	switch a {
	case Publish:
		return c.Publish == ByHook
	case Play:
		return c.Play == ByHook
	case Chat:
		return c.Chat == ByHook
	}
	return false
}

// DefaultConfig lets everybody watch and chat, and publish from this machine.
func DefaultConfig() Config {
	return Config{
		Publish: NoneFromLoopback, Play: ByNobody, Chat: ByNobody,
		JWKSRefresh: 10 * time.Minute, WrongTries: 10, SignNginx: "{expires}{uri} {secret}",
	}
}

// Check returns what is wrong with c beyond its ranges.
func (c Config) Check() error {
	for _, door := range []struct{ flag, value string }{{"play-auth", c.Play}, {"chat-auth", c.Chat}} {
		if door.value != ByToken && door.value != ByNobody && door.value != ByHook {
			return fmt.Errorf("--%s is %q, it may be %s, %s or %s", door.flag, door.value, ByNobody, ByToken, ByHook)
		}
	}
	if c.Publish != ByToken && c.Publish != ByNobody && c.Publish != NoneFromLoopback && c.Publish != ByHook {
		return fmt.Errorf("--publish-auth is %q, it may be %s, %s, %s or %s", c.Publish, NoneFromLoopback, ByToken, ByNobody, ByHook)
	}
	if c.JWKS != "" {
		// The URL may hold a password: what is wrong with it is not repeated.
		u, err := url.Parse(c.JWKS)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("--jwks-url must be like https://id.example/jwks.json")
		}
	} else if c.Issuer != "" || c.Audience != "" {
		return fmt.Errorf("--jwks-issuer and --jwks-audience need --jwks-url")
	}
	if _, err := newAccess(c.Allow, c.Deny); err != nil {
		return err
	}
	formats, err := c.formats()
	switch {
	case err != nil:
		return err
	case len(formats) > 0 && c.SignPublish == "" && c.SignPlay == "":
		return fmt.Errorf("--url-sign needs --url-sign-publish, --url-sign-play or both")
	case len(formats) == 0 && (c.SignPublish != "" || c.SignPlay != ""):
		return fmt.Errorf("--url-sign-publish and --url-sign-play need --url-sign")
	case formats[SignNginx] && !(strings.Contains(c.SignNginx, "{secret}") && strings.Contains(c.SignNginx, "{expires}") && strings.Contains(c.SignNginx, "{uri}")):
		return fmt.Errorf("--url-sign-nginx must have {expires}, {uri} and {secret}")
	}
	return c.checkFiles()
}

// checkFiles returns what is wrong with the files that c names.
func (c Config) checkFiles() error {
	if c.Users != "" {
		if _, err := ReadUsers(c.Users); err != nil {
			return fmt.Errorf("--rtmp-users: %w", err)
		}
	}
	if _, err := newEdges(c.EdgeSecrets); err != nil {
		return err
	}
	_, err := newSigner(c)
	return err
}

// formats returns which signed URLs are taken.
func (c Config) formats() (map[SignFormat]bool, error) {
	all := map[SignFormat]bool{}
	for s := range strings.SplitSeq(c.URLSign, ",") {
		switch f := SignFormat(strings.TrimSpace(s)); f {
		case "":
		case SignAliyun, SignTencent, SignNginx:
			all[f] = true
		default:
			return nil, fmt.Errorf("--url-sign has %q, it may have %s, %s and %s", f, SignAliyun, SignTencent, SignNginx)
		}
	}
	return all, nil
}
