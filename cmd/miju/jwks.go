package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/miju-live/miju/auth"
)

// jwksCommand prints the public key that tokens of --eddsa are verified by.
func jwksCommand(env []string) *cobra.Command {
	c := defaultConfig()
	cmd := &cobra.Command{
		Use: "jwks", Short: "Print the public key of tokens that miju token --eddsa mints", Args: cobra.NoArgs,
		Long: `Prints the public half of the key that "miju token --eddsa" signs with, as a JSON
Web Key Set: whoever has it can verify such tokens, and mint none. The key is in
the data directory, and made there if need be.`,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	bindFlags(fs, &c) // all of them: the server's file and environment shall do
	eachSetting(&c, func(s setting) { fs.Lookup(s.name).Hidden = s.name != "data-dir" })
	file := fs.String("config", "", "YAML file of settings, the server's own")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fillFlags(fs, *file, env); err != nil {
			return err
		}
		if c.Data.Dir == "" {
			return fmt.Errorf("--data-dir is empty: without it there is no key")
		}
		key, err := auth.OpenSigningKey(c.Data.Dir)
		if err != nil {
			return fmt.Errorf("the key that signs tokens: %w", err)
		}
		set, err := key.JWKS()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", set)
		return err
	}
	return cmd
}
