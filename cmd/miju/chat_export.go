package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/streamkey"
)

// chatCommand reads what chat rooms keep, beside a server that may be running.
func chatCommand(env []string) *cobra.Command {
	all := &cobra.Command{Use: "chat", Short: "Read what chat rooms keep, also while the server runs", Args: cobra.NoArgs}
	all.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	all.AddCommand(chatExport(env), chatBroadcasts(env))
	return all
}

// chatReads makes a command of what reads a room.
func chatReads(env []string, run func(*cobra.Command, *chatstore.Reader, string) error) *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{Args: needs(1)}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, &c) // all of them: the server's file and environment shall do
	eachSetting(&c, func(s setting) { fs.Lookup(s.name).Hidden = s.name != "db" && s.name != "data-dir" })
	file := fs.String("config", "", "YAML file of settings, the server's own")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := fillFlags(fs, *file, env); err != nil {
			return err
		}
		key, err := streamkey.Parse(args[0])
		if err != nil {
			return err
		}
		c.Store.DataDir = c.Data.Dir
		r, err := chatstore.OpenReader(cmd.Context(), c.Store)
		if errors.Is(err, chatstore.ErrNoDatabase) {
			return noDatabase(err)
		}
		if err != nil {
			return err
		}
		return errors.Join(run(cmd, r, key.String()), r.Close())
	}
	return cmd
}

func chatBroadcasts(env []string) *cobra.Command {
	var asJSON bool
	cmd := chatReads(env, func(cmd *cobra.Command, r *chatstore.Reader, room string) error {
		list, err := broadcastsOf(cmd.Context(), r, room)
		if err != nil {
			return err
		}
		if asJSON {
			out := json.NewEncoder(cmd.OutOrStdout())
			for _, b := range list {
				if err := out.Encode(map[string]any{
					"broadcast": broadcastNumber(b.ID), "first": b.First.UnixMilli(), "last": b.Last.UnixMilli(), "events": b.Events, "messages": b.Messages,
				}); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "BROADCAST\tFIRST EVENT\tLAST EVENT\tEVENTS\tMESSAGES")
		for _, b := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", b.ID, b.First.Format(time.RFC3339), b.Last.Format(time.RFC3339), b.Events, b.Messages)
		}
		return w.Flush()
	})
	cmd.Use, cmd.Short = "broadcasts ROOM", "List the broadcasts of a room of which there are events"
	cmd.Example = "  miju chat broadcasts live/alice"
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object a line")
	return cmd
}

// broadcastsOf is Broadcasts of a room of which there is something.
func broadcastsOf(ctx context.Context, r *chatstore.Reader, room string) ([]chatstore.Broadcast, error) {
	list, known, err := r.Broadcasts(ctx, room)
	if err == nil && !known {
		err = fmt.Errorf("nothing is kept of the room %s", room)
	}
	return list, err
}

func chatExport(env []string) *cobra.Command {
	var broadcast, from, to, output string
	cmd := chatReads(env, func(cmd *cobra.Command, r *chatstore.Reader, room string) error {
		x, err := selection(cmd.Context(), r, room, broadcast, from, to)
		if err != nil {
			return err
		}
		return writeOutput(output, cmd.OutOrStdout(), func(w io.Writer) error { return export(cmd.Context(), r, x, w) })
	})
	cmd.Use, cmd.Short = "export ROOM", "Write the events of a room as NDJSON, oldest first (docs/chat-storage.md)"
	cmd.Example = "  miju chat export live/alice --broadcast last -o chat.ndjson\n" +
		"  miju chat export live/alice --from 2026-11-21T18:00:00Z --db postgres://miju@db/miju | jq -r 'select(.type==\"message\").text'"
	fs := cmd.Flags()
	fs.StringVar(&broadcast, "broadcast", "", "of one broadcast only: a number that \"miju chat broadcasts\" lists, or last")
	fs.StringVar(&from, "from", "", "of this time and later: like 2026-11-21T18:00:00Z, or Unix milliseconds")
	fs.StringVar(&to, "to", "", "before this time")
	fs.StringVarP(&output, "output", "o", "", "file to write, which is there only once it is whole; empty: standard output")
	return cmd
}

// selection reads what to export, and refuses what cannot be.
func selection(ctx context.Context, r *chatstore.Reader, room, broadcast, from, to string) (x chatstore.Selection, err error) {
	x.Room = room
	if x.From, err = parseInstant("from", from); err != nil {
		return x, err
	}
	if x.To, err = parseInstant("to", to); err != nil {
		return x, err
	}
	if from != "" && to != "" && !x.From.Before(x.To) {
		return x, fmt.Errorf("--from is not before --to: nothing is in between")
	}
	list, err := broadcastsOf(ctx, r, room)
	if err != nil || broadcast == "" {
		return x, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].ID == broadcast || broadcast == "last" {
			x.Broadcast = list[i].ID
			return x, nil
		}
	}
	if broadcast == "last" {
		return x, fmt.Errorf("%s has no broadcast of which anything is kept", room)
	}
	return x, fmt.Errorf("%s has no broadcast %s; \"miju chat broadcasts %s\" lists them", room, broadcast, room)
}

func parseInstant(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("--%s is %q, it must be a time like 2026-11-21T18:00:00Z or Unix milliseconds", flag, s)
	}
	return t, nil
}

// export writes a line an event: what members got, behind what they got from
// where they were.
func export(ctx context.Context, r *chatstore.Reader, x chatstore.Selection, w io.Writer) error {
	var line []byte
	return r.Export(ctx, x, func(e chatstore.Event) error {
		body, ok := strings.CutPrefix(string(e.Body), "{")
		if !ok {
			return fmt.Errorf("the event %d-%d of %s is no JSON object", e.Epoch, e.Offset, e.Room)
		}
		line = append(line[:0], `{"epoch":`...)
		line = strconv.AppendInt(line, e.Epoch, 10)
		// These two say it themselves.
		if n := broadcastNumber(e.Broadcast); n != 0 && e.Type != "live" && e.Type != "ended" {
			line = append(line, `,"broadcast":`...)
			line = strconv.AppendInt(line, n, 10)
		}
		if body != "}" {
			line = append(line, ',')
		}
		line = append(append(line, body...), '\n')
		_, err := w.Write(line)
		return err
	})
}

// broadcastNumber is how events name a broadcast; 0 if there is none.
func broadcastNumber(id string) int64 {
	n, _ := strconv.ParseInt(id, 10, 64) // chat.go made it
	return n
}

// writeOutput has write fill a file at path, or standard output. A file is put
// in its place when it is whole; what is no plain file, like a pipe, is
// written as it goes.
func writeOutput(path string, stdout io.Writer, write func(io.Writer) error) (err error) {
	buffered := func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 64<<10)
		if err := write(b); err != nil {
			return err
		}
		return b.Flush()
	}
	if path == "" || path == "-" {
		return buffered(stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(buffered(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	if err = errors.Join(buffered(f), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
