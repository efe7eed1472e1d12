// Command langhost is pulumi-language-python: the process that the Pulumi engine starts to run programs written in
// Python. It takes the place of the official host, which is published only inside Pulumi's release archive.
//
// The engine starts it, reads the port from the first line of its standard output, and talks to it over gRPC.
// It ends on SIGINT or SIGTERM, or when the engine no longer answers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

const (
	executorName = "pulumi-language-python-exec"

	// An engine that was killed tells nobody: look for it this often.
	engineCheckInterval = 10 * time.Second

	// The engine waits 5 s after its SIGINT before it kills the whole process group: be gone well before that.
	shutdownGrace = 2 * time.Second
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-python:", err)
		os.Exit(1)
	}
}

func run() error {
	options, err := parseArguments(os.Args[1:])
	if err != nil {
		return err
	}
	executor, err := findExecutor()
	if err != nil {
		return err
	}

	// NotifyContext also installs the handler when the process was started with SIGINT ignored (nohup, a shell's
	// background job). Left ignored, the engine's farewell would have to wait for its 5 s timeout at every command;
	// and the handler, unlike "ignored", is not inherited by the program.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	host := newHost(ctx, executor, options, stop)
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, host)
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("could not start the server: %w", err)
	}
	if options.engine != "" {
		host.watchEngine(options.engine)
	}
	fmt.Printf("%d\n", handle.Port)

	select {
	case err := <-handle.Done:
		return err
	case <-ctx.Done():
		// Not a graceful stop of the server: it would wait for idle streams. Only the program deserves waiting for.
		host.waitForPrograms(shutdownGrace)
		return nil
	}
}

// options are what the engine's command line says. It may be empty: the Handshake says the same again.
type options struct {
	engine  string
	tracing string
}

func parseArguments(arguments []string) (options, error) {
	var parsed options
	flags := flag.NewFlagSet("pulumi-language-python", flag.ContinueOnError)
	flags.StringVar(&parsed.tracing, "tracing", "", "endpoint that receives traces")
	flags.Bool("logtostderr", false, "accepted from the engine, without effect")
	flags.Int("v", 0, "accepted from the engine, without effect")
	if err := flags.Parse(arguments); err != nil {
		return parsed, err
	}
	parsed.engine = flags.Arg(0)
	return parsed, nil
}

// findExecutor returns the path of the Python script that runs a program: beside this binary, or on PATH.
func findExecutor() (string, error) {
	if self, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(self); err == nil {
			self = resolved
		}
		beside := filepath.Join(filepath.Dir(self), executorName)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := exec.LookPath(executorName)
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%s is neither beside this program nor on PATH", executorName)
	}
	return found, err
}
