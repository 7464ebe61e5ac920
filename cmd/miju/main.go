// Command miju is a live-streaming origin with a chat room beside every
// stream. It reads flags, wires everybody, runs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(os.Environ()).ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "miju:", err)
		os.Exit(1)
	}
}

// newRoot returns the command tree; env is the environment as os.Environ
// gives it.
func newRoot(env []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "miju",
		Short: "A live-streaming origin with a chat room beside every stream",
		Long: `Miju takes live streams from OBS, ffmpeg and hardware encoders by RTMP and
SRT and serves them as HTTP-FLV and low-latency HLS for CDN edges and players,
with a chat room beside every stream.

Without a command, miju serves. Every setting below can also stand in a YAML
file (--config) as "name: value" and in the environment as MIJU_NAME; a flag
wins over the environment, the environment over the file.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: cobra.NoArgs,
	}
	serve := settingsCommand("serve", "Run the server (what miju does without a command)", env,
		func(ctx context.Context, c config, out io.Writer) error {
			log, err := c.Log.logger()
			if err != nil {
				return err
			}
			s, err := listen(ctx, c, nil, log)
			if err != nil {
				return err
			}
			io.WriteString(out, s.banner())
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			return s.serve(ctx)
		})
	check := settingsCommand("check", "Check flags, environment and file without starting", env,
		func(_ context.Context, _ config, out io.Writer) error {
			_, err := fmt.Fprintln(out, "the settings are good")
			return err
		})
	version := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
	root.AddCommand(serve, check, version, benchCommand(), chatCommand(env), tokenCommand(env), jwksCommand(env), keyCommand(env))
	root.CompletionOptions.HiddenDefaultCmd = true
	root.Flags().SortFlags = false // they stand in an order that makes sense
	root.Flags().AddFlagSet(serve.Flags())
	root.RunE = serve.RunE
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists what there is", err, cmd.CommandPath())
	})
	return root
}

// settingsCommand returns a command that reads all settings and runs with them.
func settingsCommand(name, short string, env []string, run func(context.Context, config, io.Writer) error) *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, &c)
	file := fs.String("config", "", "YAML file of settings")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fillFlags(cmd.Flags(), *file, env); err != nil {
			return err
		}
		if err := c.validate(); err != nil {
			return err
		}
		return run(cmd.Context(), c, cmd.OutOrStdout())
	}
	return cmd
}

// usage prints the flags by group.
func usage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	line := cmd.UseLine()
	if !strings.HasSuffix(line, "[flags]") {
		line += " [flags]"
	}
	fmt.Fprintf(w, "Usage:\n  %s\n", line)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n\nCommands:\n", cmd.CommandPath())
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-10s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	usageOfFlags(w, cmd)
	return nil
}

func usageOfFlags(w io.Writer, cmd *cobra.Command) {
	byGroup := map[string]*pflag.FlagSet{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		group := ""
		if a := f.Annotations[groupAnnotation]; len(a) > 0 {
			group = a[0]
		}
		if byGroup[group] == nil {
			byGroup[group] = pflag.NewFlagSet("", pflag.ContinueOnError)
			byGroup[group].SortFlags = false
		}
		byGroup[group].AddFlag(f)
	})
	for _, g := range append(groups, "") {
		if byGroup[g] == nil || !byGroup[g].HasAvailableFlags() {
			continue
		}
		title := strings.ToUpper(g[:min(1, len(g))]) + g[min(1, len(g)):]
		if g == "" {
			title = "Other"
		}
		fmt.Fprintf(w, "\n%s:\n%s", title, byGroup[g].FlagUsagesWrapped(110))
	}
}

// needs refuses a command without its n arguments, or with more, by saying what they
// are.
func needs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fmt.Errorf("it must be: %s, and there are %d arguments; %s --help says more", strings.TrimSuffix(cmd.UseLine(), " [flags]"), len(args), cmd.CommandPath())
	}
}

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func versionLine() string {
	commit := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	return fmt.Sprintf("miju %s, commit %s, %s %s/%s", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
