package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	pkgplugin "github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// host serves pulumirpc.LanguageRuntime. One engine command is one host; it may run several programs.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	ctx      context.Context // ends when the process has been told to end
	stop     context.CancelFunc
	executor string
	tracing  string

	mutex  sync.Mutex
	engine string

	programs sync.WaitGroup
	cancel   context.CancelFunc // ends every running program
	running  context.Context
}

func newHost(ctx context.Context, executor string, options options, stop context.CancelFunc) *host {
	running, cancel := context.WithCancel(ctx)
	return &host{
		ctx: ctx, stop: stop, executor: executor, tracing: options.tracing, engine: options.engine,
		running: running, cancel: cancel,
	}
}

// watchEngine ends the process when the engine no longer answers.
func (h *host) watchEngine(address string) {
	go func() {
		if err := rpcutil.Healthcheck(h.ctx, address, engineCheckInterval, h.stop); err != nil {
			h.stop()
		}
	}()
}

// waitForPrograms gives programs that were told to end the time to do so.
func (h *host) waitForPrograms(grace time.Duration) {
	done := make(chan struct{})
	go func() { h.programs.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(grace):
	}
}

func (h *host) engineAddress() string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.engine
}

func (h *host) Handshake(
	_ context.Context, request *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.mutex.Lock()
	known := h.engine == request.EngineAddress
	h.engine = request.EngineAddress
	h.mutex.Unlock()
	if !known {
		h.watchEngine(request.EngineAddress)
	}
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

// GetRequiredPackages names nothing: the engine loads each provider when the program registers its first resource,
// which spares every command a look through the virtual environment.
func (h *host) GetRequiredPackages(
	context.Context, *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *host) GetRequiredPlugins(
	context.Context, *pulumirpc.GetRequiredPluginsRequest,
) (*pulumirpc.GetRequiredPluginsResponse, error) {
	return &pulumirpc.GetRequiredPluginsResponse{}, nil
}

// Cancel ends running programs; the host itself stays until the engine ends it.
func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.cancel()
	return &emptypb.Empty{}, nil
}

func (h *host) About(
	ctx context.Context, request *pulumirpc.AboutRequest,
) (*pulumirpc.AboutResponse, error) {
	environment, err := resolve(request.Info)
	if err != nil {
		return nil, err
	}
	info, err := environment.About(ctx)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.AboutResponse{
		Executable: info.PythonExecutable,
		Version:    info.PythonVersion.String(),
	}, nil
}

func (h *host) GetProgramDependencies(
	ctx context.Context, request *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	environment, err := resolve(request.Info)
	if err != nil {
		return nil, err
	}
	if err := environment.ValidateVenv(ctx); err != nil {
		return nil, err
	}
	packages, err := environment.ListPackages(ctx, request.TransitiveDependencies)
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetProgramDependenciesResponse{}
	for _, found := range packages {
		response.Dependencies = append(response.Dependencies,
			&pulumirpc.DependencyInfo{Name: found.Name, Version: found.Version})
	}
	return response, nil
}

func (h *host) InstallDependencies(
	request *pulumirpc.InstallDependenciesRequest, server pulumirpc.LanguageRuntime_InstallDependenciesServer,
) (err error) {
	closer, stdout, stderr, err := rpcutil.MakeInstallDependenciesStreams(server, request.IsTerminal)
	if err != nil {
		return err
	}
	defer func(streams io.Closer) {
		if failed := streams.Close(); err == nil {
			err = failed
		}
	}(closer)

	environment, err := resolve(request.Info)
	if err != nil {
		return err
	}
	return environment.InstallDependencies(server.Context(), request.Info.ProgramDirectory,
		request.UseLanguageVersionTools, true /* showOutput */, stdout, stderr)
}

// GeneratePackage writes the Python SDK of a schema with Pulumi's own generator.
func (h *host) GeneratePackage(
	ctx context.Context, request *pulumirpc.GeneratePackageRequest,
) (*pulumirpc.GeneratePackageResponse, error) {
	if request.LoaderTarget == "" {
		return nil, status.Error(codes.InvalidArgument, "the engine offered no schema loader")
	}
	loader, err := schema.NewLoaderClient(request.LoaderTarget)
	if err != nil {
		return nil, fmt.Errorf("could not reach the schema loader: %w", err)
	}
	defer loader.Close() //nolint:errcheck // read-only connection

	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(request.Schema), &spec); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the schema is not valid JSON: %v", err)
	}
	cached := schema.NewCachedLoader(loader)
	bound, diagnostics, err := schema.BindSpecWithContext(ctx, spec, cached, schema.ValidationOptions{})
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GeneratePackageResponse{
		Diagnostics: pkgplugin.HclDiagnosticsToRPCDiagnostics(diagnostics),
	}
	if diagnostics.HasErrors() {
		return response, nil
	}
	files, err := python.GeneratePackage("pulumi-language-python", bound, request.ExtraFiles, cached)
	if err != nil {
		return nil, err
	}
	return response, writeFiles(request.Directory, files)
}

func writeFiles(directory string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(directory, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
