package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// exitAlreadyReported is the executor's exit code for "the user has been told what is wrong".
const exitAlreadyReported = 32

// Run executes one program to its end. What it prints goes straight to this process's own output, which the engine
// shows as it comes.
func (h *host) Run(ctx context.Context, request *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	command, release, err := h.programCommand(ctx, request)
	if err != nil {
		return nil, err
	}
	defer release()
	h.programs.Add(1)
	defer h.programs.Done()

	err = command.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case h.running.Err() != nil:
		return &pulumirpc.RunResponse{Error: "the program was cancelled"}, nil
	case !errors.As(err, &exit):
		return nil, fmt.Errorf("could not run the program: %w", err)
	case exit.ExitCode() == exitAlreadyReported:
		return &pulumirpc.RunResponse{Bail: true}, nil
	default:
		return &pulumirpc.RunResponse{Error: "the program ended with " + describe(exit)}, nil
	}
}

func describe(exit *exec.ExitError) string {
	if state, ok := exit.Sys().(syscall.WaitStatus); ok && state.Signaled() {
		return "signal " + strconv.Itoa(int(state.Signal())) + " (" + state.Signal().String() + ")"
	}
	return "exit code " + strconv.Itoa(exit.ExitCode())
}

// programCommand builds the process of one Run. It ends with the call, with Cancel or with the host, whichever is
// first: by SIGTERM, on which Python ends without a word, and by SIGKILL when that takes too long. (The engine ends the
// call as soon as a resource failed; a SIGINT would have the program print a traceback over the resource's own error.)
func (h *host) programCommand(
	ctx context.Context, request *pulumirpc.RunRequest,
) (*exec.Cmd, context.CancelFunc, error) {
	environment, err := resolve(request.Info)
	if err != nil {
		return nil, nil, err
	}
	if err := environment.ValidateVenv(ctx); err != nil {
		return nil, nil, err
	}
	variables, err := configVariables(request)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(h.running, cancel)
	release := func() { unlink(); cancel() }
	command, err := environment.Command(ctx, h.programArguments(request)...)
	if err != nil {
		release()
		return nil, nil, err
	}
	if command.Env == nil {
		command.Env = os.Environ()
	}
	command.Env = append(command.Env, variables...)
	command.Stdout = os.Stdout
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = shutdownGrace
	return command, release, nil
}

func (h *host) programArguments(request *pulumirpc.RunRequest) []string {
	arguments := []string{"-u", h.executor}
	add := func(name, value string) {
		if value != "" {
			arguments = append(arguments, "--"+name, value)
		}
	}
	add("monitor", request.MonitorAddress)
	add("engine", h.engineAddress())
	add("project", request.Project)
	add("stack", request.Stack)
	add("root_directory", request.Info.RootDirectory)
	add("pwd", request.Pwd)
	add("dry_run", strconv.FormatBool(request.DryRun))
	add("parallel", strconv.Itoa(int(request.Parallel)))
	add("tracing", h.tracing)
	add("organization", request.Organization)

	entry := request.Info.EntryPoint
	if entry == "" {
		entry = "."
	}
	return append(append(arguments, entry), request.Args...)
}

// configVariables hands the stack's configuration over. The Python side wants JSON objects and lists, never null.
func configVariables(request *pulumirpc.RunRequest) ([]string, error) {
	config := request.Config
	if config == nil {
		config = map[string]string{}
	}
	secrets := request.ConfigSecretKeys
	if secrets == nil {
		secrets = []string{}
	}
	values, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	return []string{"PULUMI_CONFIG=" + string(values), "PULUMI_CONFIG_SECRET_KEYS=" + string(keys)}, nil
}

// resolve finds the Python and the package manager that Pulumi.yaml's runtime options ask for.
func resolve(info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	if info == nil {
		return nil, errors.New("the engine named no program")
	}
	options := toolchain.PythonOptions{Root: info.RootDirectory, ProgramDir: info.ProgramDirectory}
	given := info.Options.AsMap()
	virtualenv, err := stringOption(given, "virtualenv")
	if err != nil {
		return nil, err
	}
	options.Virtualenv = virtualenv
	name, err := stringOption(given, "toolchain")
	if err != nil {
		return nil, err
	}
	switch name {
	case "":
		options.Toolchain = toolchain.Auto
	case "pip":
		options.Toolchain = toolchain.Pip
	case "poetry":
		options.Toolchain = toolchain.Poetry
	case "uv":
		options.Toolchain = toolchain.Uv
	default:
		return nil, fmt.Errorf("runtime option toolchain is %q, but must be pip, poetry or uv", name)
	}
	return toolchain.ResolveToolchain(options)
}

func stringOption(given map[string]any, name string) (string, error) {
	value, present := given[name]
	if !present {
		return "", nil
	}
	text, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("runtime option %s must be a string", name)
	}
	return text, nil
}
