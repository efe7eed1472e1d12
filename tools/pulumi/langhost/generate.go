package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/pkg/v3/codegen/hcl2/syntax"
	"github.com/pulumi/pulumi/pkg/v3/codegen/pcl"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	pkgplugin "github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// GenerateProgram writes a Python program with Pulumi's own generator: `pulumi import` prints what it imported so.
func (h *host) GenerateProgram(
	ctx context.Context, request *pulumirpc.GenerateProgramRequest,
) (*pulumirpc.GenerateProgramResponse, error) {
	if request.LoaderTarget == "" {
		return nil, errors.New("the engine offered no schema loader")
	}
	loader, err := schema.NewLoaderClient(request.LoaderTarget)
	if err != nil {
		return nil, fmt.Errorf("could not reach the schema loader: %w", err)
	}
	defer loader.Close() //nolint:errcheck // read-only connection

	parser := syntax.NewParser()
	for _, path := range slices.Sorted(maps.Keys(request.Source)) {
		if err := parser.ParseFile(strings.NewReader(request.Source[path]), path); err != nil {
			return nil, err
		}
	}
	answer := &pulumirpc.GenerateProgramResponse{
		Diagnostics: pkgplugin.HclDiagnosticsToRPCDiagnostics(parser.Diagnostics),
	}
	if parser.Diagnostics.HasErrors() {
		return answer, nil
	}
	options := []pcl.BindOption{pcl.PreferOutputVersionedInvokes}
	if !request.Strict {
		options = append(options, pcl.NonStrictBindOptions()...)
	}
	program, diagnostics, err := pcl.BindProgram(parser.Files, schema.NewCachedLoader(loader), options...)
	if err != nil {
		return nil, err
	}
	answer.Diagnostics = append(answer.Diagnostics, pkgplugin.HclDiagnosticsToRPCDiagnostics(diagnostics)...)
	if program == nil {
		return answer, nil
	}
	files, diagnostics, err := python.GenerateProgram(program)
	if err != nil {
		return nil, err
	}
	answer.Source = files
	answer.Diagnostics = append(answer.Diagnostics, pkgplugin.HclDiagnosticsToRPCDiagnostics(diagnostics)...)
	return answer, nil
}
