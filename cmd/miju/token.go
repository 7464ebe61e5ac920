package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"github.com/miju-live/miju/auth"
)

// maxTokenLife bounds --expires: what is longer is meant as never.
const maxTokenLife = 100 * 365 * 24 * time.Hour

// tokenRequest is what somebody wants a token for.
type tokenRequest struct {
	keys, sub, name, role, addr, expires string
	publish, play, chat, moderate, admin bool
	// eddsa is for the signing key instead of the secret.
	eddsa bool
}

// mint signs claims by what is in the data directory, made there if need be. fresh
// says that no server has run there.
func (t tokenRequest) mint(dir string, claims auth.Claims) (token string, fresh bool, err error) {
	if t.eddsa {
		_, err := os.Stat(filepath.Join(dir, auth.SecretFile)) // every server makes it
		key, keyErr := auth.OpenSigningKey(dir)
		if keyErr != nil {
			return "", false, fmt.Errorf("the key that signs tokens: %w", keyErr)
		}
		token, keyErr = key.Mint(claims)
		return token, errors.Is(err, fs.ErrNotExist), keyErr
	}
	secret, fresh, err := auth.OpenSecret(dir)
	if err != nil {
		return "", false, fmt.Errorf("the secret that signs tokens: %w", err)
	}
	token, err = auth.Mint(secret, claims)
	return token, fresh, err
}

// tokenCommand mints tokens with the server's secret.
func tokenCommand(env []string) *cobra.Command {
	var t tokenRequest
	c := defaultConfig()
	cmd := &cobra.Command{
		Use: "token", Short: "Mint a token to publish, play, chat or administer", Args: cobra.NoArgs,
		Long: `Mints a token signed with the server's secret, which is in its data directory
and made there if need be. The server need not run. docs/auth.md says what a token
can say and where encoders and players put it.`,
		Example: `  miju token --key live/alice --publish --expires 720h
  miju token --key 'live/*' --play --chat --name Bob --role moderator
  miju token --operate --expires never`,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, &c) // all of them: the server's file and environment shall do
	eachSetting(&c, func(s setting) { fs.Lookup(s.name).Hidden = s.name != "data-dir" })
	file := fs.String("config", "", "YAML file of settings, the server's own")
	fs.StringVar(&t.keys, "key", "", "stream, or pattern: live/alice, live/*, *; several with commas")
	fs.BoolVar(&t.publish, "publish", false, "to publish")
	fs.BoolVar(&t.play, "play", false, "to play")
	fs.BoolVar(&t.chat, "chat", false, "to chat")
	fs.BoolVar(&t.moderate, "moderate", false, "to moderate the chat")
	fs.BoolVar(&t.admin, "operate", false, "to use the operators' API, for every stream")
	fs.StringVar(&t.sub, "sub", "", "who it is for, the same over reconnections; random if empty")
	fs.StringVar(&t.name, "name", "", "name in the chat")
	fs.StringVar(&t.role, "role", "", "role in the chat: host, moderator, member, guest or reader")
	fs.StringVar(&t.addr, "addr", "", "addresses or networks that it is good from, with commas; everywhere if empty")
	fs.StringVar(&t.expires, "expires", "24h", "how long it is good, like 24h, or never")
	fs.BoolVar(&t.eddsa, "eddsa", false, "sign by Ed25519 instead of the secret: who has the output of miju jwks can verify it and make none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fillFlags(fs, *file, env); err != nil {
			return err
		}
		claims, err := t.claims(time.Now())
		if err != nil {
			return err
		}
		if c.Data.Dir == "" {
			return fmt.Errorf("--data-dir is empty: without it there is no secret to sign with")
		}
		token, fresh, err := t.mint(c.Data.Dir, claims)
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintln(cmd.OutOrStdout(), token); err != nil {
			return err
		}
		told := about(claims)
		if fresh {
			told += "\n" + freshData(c.Data.Dir)
		}
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), told)
		return err
	}
	cmd.AddCommand(tokenRevoke(env))
	return cmd
}

// about tells what whoever mints a token should keep of it.
func about(c auth.Claims) string {
	until := "good for ever"
	if c.Expires != nil {
		until = "good until " + c.Expires.UTC().Format(time.RFC3339)
	}
	return until + "; to take it back: miju token revoke " + c.ID
}

// claims checks what was asked for: what would permit nothing is a mistake.
func (t tokenRequest) claims(now time.Time) (c auth.Claims, err error) {
	for _, a := range []struct {
		wanted bool
		action auth.Action
	}{{t.publish, auth.Publish}, {t.play, auth.Play}, {t.chat, auth.Chat}, {t.moderate, auth.Moderate}, {t.admin, auth.Admin}} {
		if a.wanted {
			c.Actions |= auth.ActionsOf(a.action)
		}
	}
	if t.role != "" && !t.moderate {
		c.Actions |= auth.ActionsOf(auth.Chat)
	}
	for pattern := range strings.SplitSeq(t.keys, ",") {
		if pattern = strings.TrimSpace(pattern); pattern != "" {
			c.Keys = append(c.Keys, pattern)
		}
	}
	c.Subject, c.Name, c.Role = t.sub, t.name, auth.Role(t.role)
	switch {
	case c.Actions == 0:
		return c, fmt.Errorf("say what the token is for: --publish, --play, --chat, --moderate or --operate")
	case len(c.Keys) == 0 && c.Actions != auth.ActionsOf(auth.Admin):
		return c, fmt.Errorf("say what stream the token is for: --key live/alice, or --key 'live/*'")
	case c.Role != "" && c.Role != auth.RoleReader && c.Role.Rank() == 0:
		return c, fmt.Errorf("--role is %q, it may be host, moderator, member, guest or reader", t.role)
	}
	if err := c.Keys.Check(); err != nil {
		return c, fmt.Errorf("--key: %w", err)
	}
	if t.addr != "" {
		if c.Networks, err = auth.ParseNetworks(t.addr); err != nil {
			return c, fmt.Errorf("--addr: %w", err)
		}
	}
	if c.Subject == "" {
		c.Subject = strings.ToLower(rand.Text()[:10])
	}
	c.ID = strings.ToLower(rand.Text()[:8])
	if t.expires != "never" {
		life, err := time.ParseDuration(t.expires)
		if err != nil || life <= 0 || life > maxTokenLife {
			return c, fmt.Errorf("--expires is %q, it must be a time like 24h or 720h (30 days), or never", t.expires)
		}
		c.Expires = jwt.NewNumericDate(now.Add(life))
	}
	return c, nil
}
