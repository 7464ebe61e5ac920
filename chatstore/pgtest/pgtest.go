// Package pgtest runs real PostgreSQL servers for tests.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Cluster is a server with a directory of its own, reached by a Unix socket
// in it. It ends with the process that started it, however that ends.
type Cluster struct {
	dir, bin string
	who      *syscall.Credential // nil: who runs the test

	// While it runs: where to name the signal that ends it, and its shell.
	stop  io.WriteCloser
	shell *exec.Cmd
}

// supervisor runs a server until a line names the signal to end it with, or
// nobody is left to write one.
const supervisor = `"$@" & p=$!; read -r signal; kill -"${signal:-INT}" $p; wait $p`

// patience is how long a server may take to start or to stop.
const patience = time.Minute

// Start makes a cluster and starts it. PostgreSQL refuses to run as root, so
// then it runs as the user postgres.
func Start() (_ *Cluster, err error) {
	c := &Cluster{}
	if c.bin, err = find(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "miju-pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	if os.Getuid() == 0 {
		if err := c.becomePostgres(); err != nil {
			return nil, err
		}
	}
	if err := c.run("initdb", "-D", c.data(), "-U", "miju", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	return c, c.Start()
}

// find returns the directory of the server's programs. Debian has them out of
// the path, a directory a version.
func find() (string, error) {
	if dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); err == nil && len(dirs) > 0 {
		return filepath.Dir(slices.Max(dirs)), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed; make tools installs it: %w", err)
	}
	return filepath.Dir(path), nil
}

func (c *Cluster) becomePostgres() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, int(uid), int(gid))
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.who}
	return cmd
}

// run runs one of the programs to its end.
func (c *Cluster) run(name string, args ...string) error {
	if out, err := c.command(filepath.Join(c.bin, name), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Start starts a cluster that was stopped, and waits until it answers.
func (c *Cluster) Start() error {
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command("sh", "-c", supervisor, "sh", filepath.Join(c.bin, "postgres"), "-D", c.data(),
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+c.dir, "-c", "max_connections=50")
	cmd.Stdout, cmd.Stderr = log, log
	// The whole group, so that an interrupt of the test does not end the server first.
	cmd.SysProcAttr.Setpgid = true
	if c.stop, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.shell = cmd
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := c.run("pg_isready", "-h", c.dir, "-U", "miju", "-d", "postgres", "-q")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			out, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return errors.Join(fmt.Errorf("PostgreSQL does not start: %w: %s", err, out), c.Stop("QUIT"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop ends the server by a signal: INT closes its files, QUIT ends it as a
// crash would. Start starts it again.
func (c *Cluster) Stop(signal string) error {
	if c.shell == nil {
		return nil
	}
	_, err := io.WriteString(c.stop, signal+"\n")
	err = errors.Join(err, c.stop.Close())
	_ = c.shell.Wait() // the server's status says nothing of use
	c.shell = nil
	return err
}

// Close ends the server and removes its directory.
func (c *Cluster) Close() error {
	return errors.Join(c.Stop("INT"), os.RemoveAll(c.dir))
}

// Create makes an empty database and returns its URL.
func (c *Cluster) Create(name string) (string, error) {
	if err := c.run("createdb", "-h", c.dir, "-U", "miju", name); err != nil {
		return "", err
	}
	return c.URL(name), nil
}

// URL returns the URL of a database.
func (c *Cluster) URL(name string) string {
	return "postgres://miju@/" + name + "?host=" + url.QueryEscape(c.dir)
}
