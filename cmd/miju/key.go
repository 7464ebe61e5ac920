package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/streamkey"
)

// keyPoll is how often a server looks whether the stream keys that somebody
// publishes by are still there.
const keyPoll = time.Second

// storedKeys are the stream keys of a database as the doors see them.
type storedKeys struct{ *chatstore.StreamKeys }

var _ auth.Keys = storedKeys{}

// streamKeys returns those in kept, nil if there is no database.
func streamKeys(kept *chatstore.Store) auth.Keys {
	if kept == nil {
		return nil
	}
	return storedKeys{kept.StreamKeys()}
}

// FindKey implements auth.Keys.
func (k storedKeys) FindKey(ctx context.Context, hash [sha256.Size]byte) (auth.StreamKey, bool, error) {
	x, ok, err := k.Find(ctx, hash)
	if err != nil || !ok {
		return auth.StreamKey{}, false, err
	}
	key, err := streamkey.Parse(x.Stream)
	return auth.StreamKey{ID: x.ID, Key: key, Expires: x.Expires}, err == nil, err
}

// watchKeys ends publishers whose stream key was revoked, until ctx ends.
func (s *server) watchKeys(ctx context.Context) {
	if s.kept == nil {
		return
	}
	keys := s.kept.StreamKeys()
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, subject := range s.ingest.Subjects() {
			id, ok := strings.CutPrefix(subject, auth.KeySubject)
			if !ok {
				continue
			}
			exists, err := keys.Exists(ctx, id)
			if err == nil && !exists {
				s.ingest.EndSubject(subject, auth.ErrRevoked)
			} else if err != nil && ctx.Err() == nil {
				s.log.Warn("cannot look whether a stream key was revoked", "key", id, "err", err)
			}
		}
	}
}

// keyCommand manages stream keys, also while the server runs.
func keyCommand(env []string) *cobra.Command {
	all := &cobra.Command{Use: "key", Short: "Manage stream keys, also while the server runs", Args: cobra.NoArgs}
	all.Long = `Stream keys are secrets to publish one stream with, in the database of the chat.
Only their hashes are kept: a key is shown once, when it is made. In OBS the stream
key of live/alice is alice?token=KEY.`
	all.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	all.AddCommand(keyCreate(env), keyList(env), keyRotate(env), keyRevoke(env))
	return all
}

// managesKeys makes a command of what manages them.
func managesKeys(env []string, args cobra.PositionalArgs, run func(*cobra.Command, *chatstore.StreamKeys, []string) error) *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{Args: args}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, &c) // all of them: the server's file and environment shall do
	eachSetting(&c, func(s setting) { fs.Lookup(s.name).Hidden = s.name != "db" && s.name != "data-dir" })
	file := fs.String("config", "", "YAML file of settings, the server's own")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fillFlags(fs, *file, env); err != nil {
			return err
		}
		c.Store.DataDir = c.Data.Dir
		ctx, cancel := context.WithTimeout(cmd.Context(), storeStart)
		defer cancel()
		keys, err := chatstore.OpenStreamKeys(ctx, c.Store, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		return errors.Join(run(cmd, keys, args), keys.Close())
	}
	return cmd
}

// newKey makes a key and its secret.
func newKey(stream, owner string, expires time.Time) (chatstore.StreamKey, string) {
	secret := auth.NewStreamKey()
	return chatstore.StreamKey{
		ID: strings.ToLower(rand.Text()[:8]), Hash: auth.HashKey(secret), Stream: stream, Owner: owner, Created: time.Now(), Expires: expires,
	}, secret
}

func keyCreate(env []string) *cobra.Command {
	var owner, expires string
	cmd := managesKeys(env, cobra.ExactArgs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		key, err := streamkey.Parse(args[0])
		if err != nil {
			return err
		}
		var until time.Time
		if expires != "never" {
			life, err := time.ParseDuration(expires)
			if err != nil || life <= 0 || life > maxTokenLife {
				return fmt.Errorf("--expires is %q, it must be a time like 720h, or never", expires)
			}
			until = time.Now().Add(life)
		}
		if len(owner) > 100 {
			return fmt.Errorf("--owner has %d bytes, 100 are allowed", len(owner))
		}
		x, secret := newKey(key.String(), owner, until)
		if err := keys.Put(cmd.Context(), x); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
		return err
	})
	cmd.Use, cmd.Short, cmd.Example = "create STREAM", "Make a key and print it", "  miju key create live/alice --owner \"Alice's truck\" --expires 720h"
	cmd.Flags().StringVar(&owner, "owner", "", "whose it is, for people")
	cmd.Flags().StringVar(&expires, "expires", "never", "how long it is good, like 720h, or never")
	return cmd
}

func keyList(env []string) *cobra.Command {
	cmd := managesKeys(env, cobra.MaximumNArgs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSTREAM\tCREATED\tEXPIRES\tOWNER")
		err := keys.List(cmd.Context(), strings.Join(args, ""), func(x chatstore.StreamKey) error {
			expires := "never"
			if !x.Expires.IsZero() {
				expires = x.Expires.Format(time.RFC3339)
			}
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%q\n", x.ID, x.Stream, x.Created.Format(time.RFC3339), expires, x.Owner)
			return err
		})
		return errors.Join(err, w.Flush())
	})
	cmd.Use, cmd.Short = "list [STREAM]", "List the keys of a stream, or of all"
	return cmd
}

// chosen returns the keys that an argument means: an ID, or a stream's.
func chosen(ctx context.Context, keys *chatstore.StreamKeys, arg string) (all []chatstore.StreamKey, err error) {
	err = keys.List(ctx, "", func(x chatstore.StreamKey) error {
		if x.ID == arg || x.Stream == arg {
			all = append(all, x)
		}
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("there is no key of %.140q", arg)
	}
	return all, err
}

func keyRotate(env []string) *cobra.Command {
	cmd := managesKeys(env, cobra.ExactArgs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		old, err := chosen(cmd.Context(), keys, args[0])
		if err != nil {
			return err
		}
		if len(old) > 1 {
			return fmt.Errorf("%s has %d keys: say which by its ID, see miju key list", args[0], len(old))
		}
		x, secret := newKey(old[0].Stream, old[0].Owner, old[0].Expires)
		ok, err := keys.Replace(cmd.Context(), old[0].ID, x)
		if err == nil && !ok {
			err = fmt.Errorf("somebody has just revoked it")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
		return err
	})
	cmd.Use, cmd.Short = "rotate ID|STREAM", "Replace a key, with its owner and its end, and print the new one; who publishes by the old one is cut off"
	return cmd
}

func keyRevoke(env []string) *cobra.Command {
	cmd := managesKeys(env, cobra.ExactArgs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		old, err := chosen(cmd.Context(), keys, args[0])
		for _, x := range old {
			if _, err := keys.Remove(cmd.Context(), x.ID); err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "revoked %s of %s\n", x.ID, x.Stream); err != nil {
				return err
			}
		}
		return err
	})
	cmd.Use, cmd.Short = "revoke ID|STREAM", "Revoke a key, or all of a stream; who publishes by it is cut off within a second"
	return cmd
}
