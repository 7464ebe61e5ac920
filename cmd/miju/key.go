package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/auth"
	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/streamkey"
)

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
	found, err := streamKeyOf(x)
	return found, err == nil, err
}

// FindPassphrases implements auth.Keys.
func (k storedKeys) FindPassphrases(ctx context.Context, key streamkey.Key) (all []auth.StreamKey, err error) {
	err = k.List(ctx, key.String(), func(x chatstore.StreamKey) error {
		if x.Sealed == "" {
			return nil
		}
		found, err := streamKeyOf(x)
		all = append(all, found)
		return err
	})
	return all, err
}

func streamKeyOf(x chatstore.StreamKey) (auth.StreamKey, error) {
	key, err := streamkey.Parse(x.Stream)
	if err != nil {
		return auth.StreamKey{}, err
	}
	actions, err := auth.ParseActions(x.Actions)
	return auth.StreamKey{ID: x.ID, Key: key, Actions: actions, Expires: x.Expires, Sealed: x.Sealed}, err
}

// keyCommand manages stream keys, also while the server runs.
func keyCommand(env []string) *cobra.Command {
	all := &cobra.Command{Use: "key", Short: "Manage stream keys, also while the server runs", Args: cobra.NoArgs}
	all.Long = `Stream keys are secrets to publish, or play, one stream with, in the database of the
chat. Only their hashes are kept: a key is shown once, when it is made. In OBS the
stream key of live/alice is alice?token=KEY.`
	all.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	all.AddCommand(keyCreate(env), keyList(env), keyRotate(env), keyRevoke(env))
	return all
}

// managesKeys makes a command of what manages them. Where there is no database it
// does nothing: it would not be the server's.
func managesKeys(env []string, args cobra.PositionalArgs, run func(*cobra.Command, *chatstore.StreamKeys, []string) error) *cobra.Command {
	return managesKeysOf(env, args, false, func(cmd *cobra.Command, keys *chatstore.StreamKeys, _ config, args []string) error {
		return run(cmd, keys, args)
	})
}

// managesKeysOf is managesKeys for what needs to know the settings, or makes the
// database if need be.
func managesKeysOf(env []string, args cobra.PositionalArgs, makes bool, run func(*cobra.Command, *chatstore.StreamKeys, config, []string) error) *cobra.Command {
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
		made := c.Store.Made()
		if made != nil && !makes {
			return noDatabase(made)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), storeStart)
		defer cancel()
		keys, err := chatstore.OpenStreamKeys(ctx, c.Store, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		err = errors.Join(run(cmd, keys, c, args), keys.Close())
		if err == nil && made != nil {
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), freshData(c.Data.Dir))
		}
		return err
	}
	return cmd
}

// noDatabase says where to look for the server's database.
func noDatabase(err error) error {
	return fmt.Errorf("%w; name the server's --data-dir or its --db", err)
}

// freshData says of a data directory in which no server has run that it may be the
// wrong one: the default is below the directory that the command runs in.
func freshData(dir string) string {
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	return "no server has used " + dir + " so far: only one that is started with this --data-dir will take it"
}

// keyRequest is what somebody wants a stream key for.
type keyRequest struct {
	owner, expires            string
	play, publish, passphrase bool
}

// key makes a key and its secret.
func (q keyRequest) key(c config, stream string) (x chatstore.StreamKey, secret string, err error) {
	var until time.Time
	if q.expires != "never" {
		life, err := time.ParseDuration(q.expires)
		if err != nil || life <= 0 || life > maxTokenLife {
			return x, "", fmt.Errorf("--expires is %q, it must be a time like 720h (30 days), or never", q.expires)
		}
		until = time.Now().Add(life)
	}
	if len(q.owner) > 100 {
		return x, "", fmt.Errorf("--owner has %d bytes, 100 are allowed", len(q.owner))
	}
	actions := auth.ActionsOf(auth.Publish)
	switch {
	case q.play && q.publish:
		actions = auth.ActionsOf(auth.Publish, auth.Play)
	case q.play:
		actions = auth.ActionsOf(auth.Play)
	}
	return newKey(c, chatstore.StreamKey{Stream: stream, Owner: q.owner, Expires: until, Actions: actions.String()}, q.passphrase)
}

// newKey gives a key its ID and secret, which is encrypted in it if it is to be a
// passphrase.
func newKey(c config, x chatstore.StreamKey, passphrase bool) (chatstore.StreamKey, string, error) {
	secret := auth.NewStreamKey()
	x.ID, x.Hash, x.Created, x.Sealed = strings.ToLower(rand.Text()[:8]), auth.HashKey(secret), time.Now(), ""
	if !passphrase {
		return x, secret, nil
	}
	if c.Data.Dir == "" {
		return x, "", fmt.Errorf("--data-dir is empty: without it there is no secret to encrypt a passphrase with")
	}
	signing, _, err := auth.OpenSecret(c.Data.Dir)
	if err == nil {
		x.Sealed, err = auth.Seal(signing, x.ID, secret)
	}
	if err != nil {
		return x, "", fmt.Errorf("encrypt the passphrase: %w", err)
	}
	return x, secret, nil
}

func keyCreate(env []string) *cobra.Command {
	var q keyRequest
	cmd := managesKeysOf(env, needs(1), true, func(cmd *cobra.Command, keys *chatstore.StreamKeys, c config, args []string) error {
		key, err := streamkey.Parse(args[0])
		if err != nil {
			return err
		}
		x, secret, err := q.key(c, key.String())
		if err == nil {
			err = keys.Put(cmd.Context(), x)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), secret)
		return err
	})
	cmd.Use, cmd.Short, cmd.Example = "create STREAM", "Make a key and print it", "  miju key create live/alice --owner \"Alice's truck\" --expires 720h\n  miju key create live/alice --passphrase"
	cmd.Flags().StringVar(&q.owner, "owner", "", "whose it is, for people")
	cmd.Flags().StringVar(&q.expires, "expires", "never", "how long it is good, like 720h, or never")
	cmd.Flags().BoolVar(&q.publish, "publish", false, "to publish, which it is without --play too")
	cmd.Flags().BoolVar(&q.play, "play", false, "to play, and to publish only with --publish")
	cmd.Flags().BoolVar(&q.passphrase, "passphrase", false, "have it work as the passphrase of SRT callers too; it is kept encrypted then, not only as a hash")
	return cmd
}

func keyList(env []string) *cobra.Command {
	cmd := managesKeys(env, cobra.MaximumNArgs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSTREAM\tTO\tCREATED\tEXPIRES\tOWNER")
		err := keys.List(cmd.Context(), strings.Join(args, ""), func(x chatstore.StreamKey) error {
			expires := "never"
			if !x.Expires.IsZero() {
				expires = x.Expires.Format(time.RFC3339)
			}
			to := x.Actions
			if x.Sealed != "" {
				to += " by passphrase"
			}
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%q\n", x.ID, x.Stream, to, x.Created.Format(time.RFC3339), expires, x.Owner)
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
	cmd := managesKeysOf(env, needs(1), false, func(cmd *cobra.Command, keys *chatstore.StreamKeys, c config, args []string) error {
		old, err := chosen(cmd.Context(), keys, args[0])
		if err != nil {
			return err
		}
		if len(old) > 1 {
			return fmt.Errorf("%s has %d keys: say which by its ID, see miju key list", args[0], len(old))
		}
		x, secret, err := newKey(c, old[0], old[0].Sealed != "")
		if err != nil {
			return err
		}
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
	cmd := managesKeys(env, needs(1), func(cmd *cobra.Command, keys *chatstore.StreamKeys, args []string) error {
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
