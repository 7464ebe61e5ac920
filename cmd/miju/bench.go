package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/bench"
	"github.com/miju-live/miju/ingest/file"
)

// benchCommand puts load on a server, this one or another.
func benchCommand() *cobra.Command {
	all := &cobra.Command{Use: "bench", Short: "Put load on a server and measure it", Args: cobra.NoArgs}
	all.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // or unknown commands would be no error
	all.AddCommand(benchPush(), benchFLV(), benchHLS(), benchChat())
	return all
}

func benchPush() *cobra.Command {
	c := bench.DefaultPush()
	var clip string
	cmd := benchOf(&c, &c.Load, func(ctx context.Context) (any, error) {
		r, err := openClip(clip)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		c.Clip = r
		return shownReport(bench.Push(ctx, c))
	})
	cmd.Use, cmd.Short = "push URL", "Publish a clip many times at once, by RTMP, RTMPS or SRT"
	cmd.Example = "  miju bench push 'rtmp://localhost/live/s{i}' -n 50 -d 60s --pid \"$(pidof miju)\"\n" +
		"  miju bench push 'srt://localhost:8890?streamid=publish:live/s{i}' -n 50 --file clip.flv"
	cmd.Flags().StringVar(&clip, "file", "", "FLV file, which is played in a loop in its own time; empty is the demo")
	return cmd
}

func benchFLV() *cobra.Command {
	c := bench.DefaultFLV()
	cmd := benchOf(&c, &c.Load, func(ctx context.Context) (any, error) { return shownReport(bench.FLV(ctx, c)) })
	cmd.Use, cmd.Short = "flv URL", "Watch by HTTP-FLV or WebSocket-FLV many times at once"
	cmd.Example = "  miju bench flv http://localhost:8080/live/demo.flv -n 1000 -d 30s --pid \"$(pidof miju)\"\n" +
		"  miju bench flv 'ws://localhost:8080/live/s{i}.flv' --streams 50 -n 1000"
	return cmd
}

func benchHLS() *cobra.Command {
	c := bench.DefaultHLS()
	cmd := benchOf(&c, &c.Load, func(ctx context.Context) (any, error) { return shownReport(bench.HLS(ctx, c)) })
	cmd.Use, cmd.Short = "hls URL", "Watch by low-latency HLS, or plain HLS, many times at once"
	cmd.Example = "  miju bench hls http://localhost:8080/live/demo.m3u8 -n 200 -d 30s --pid \"$(pidof miju)\""
	return cmd
}

func benchChat() *cobra.Command {
	c := bench.DefaultChat()
	cmd := benchOf(&c, &c.Load, func(ctx context.Context) (any, error) { return shownReport(bench.Chat(ctx, c)) })
	cmd.Use, cmd.Short = "chat URL", "Chat many times at once"
	cmd.Example = "  miju bench chat ws://localhost:8080/live/demo/chat -n 1000 --rate 5 --pid \"$(pidof miju)\"\n" +
		"  miju bench chat 'ws://localhost:8080/live/s{i}/chat' --rooms 400 -n 20000 --rate 1"
	return cmd
}

// benchOf makes a command of a load. config is what its flags fill, load the
// part of it that all loads have.
func benchOf(config any, load *bench.Load, run func(context.Context) (any, error)) *cobra.Command {
	cmd := &cobra.Command{Args: needs(1)}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, config)
	asJSON := fs.Bool("json", false, "print the report as JSON")
	progress := fs.Bool("progress", false, "tell once a second how things are, even if nobody looks at a terminal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkRanges(config); err != nil {
			return err
		}
		load.URL = args[0]
		line := &progressLine{out: cmd.ErrOrStderr(), terminal: isTerminal(os.Stderr)}
		if line.terminal || *progress {
			load.Progress = line.show
		}
		report, err := run(cmd.Context())
		line.clear()
		if report == nil {
			return err
		}
		if printErr := printReport(cmd.OutOrStdout(), report, *asJSON); printErr != nil {
			return printErr
		}
		return err
	}
	return cmd
}

// shownReport makes no report at all of one that is nil.
func shownReport[R any](r *R, err error) (any, error) {
	if r == nil {
		return nil, err
	}
	return r, err
}

func printReport(out io.Writer, report any, asJSON bool) error {
	if !asJSON {
		return bench.WriteTable(out, report)
	}
	b, err := json.Marshal(report)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", b)
	return err
}

// openClip opens a file to publish, the demo without a name.
func openClip(path string) (io.ReadCloser, error) {
	if path == "" {
		return io.NopCloser(bytes.NewReader(file.Demo)), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	return f, nil
}

// progressLine is a line that is written over again and again on a terminal,
// and many lines elsewhere.
type progressLine struct {
	out      io.Writer
	terminal bool
	width    int
}

func (p *progressLine) show(line string) {
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	fmt.Fprintf(p.out, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

func (p *progressLine) clear() {
	if p.terminal && p.width > 0 {
		fmt.Fprintf(p.out, "\r%s\r", strings.Repeat(" ", p.width))
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
