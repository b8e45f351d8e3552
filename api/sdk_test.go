package api

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

// sdkSchema is as much of a schema as tells its members.
type sdkSchema struct {
	Ref        string                `json:"$ref"`
	Properties map[string]*sdkSchema `json:"properties"`
	Items      *sdkSchema            `json:"items"`
	Values     json.RawMessage       `json:"additionalProperties"`
	AllOf      []*sdkSchema          `json:"allOf"`
	AnyOf      []*sdkSchema          `json:"anyOf"`
	OneOf      []*sdkSchema          `json:"oneOf"`
}

// sdkDocument is as much of the description as the SDKs are compared with.
type sdkDocument struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]*sdkSchema `json:"schemas"`
	} `json:"components"`

	seen map[string]bool // schemas that a Go type was compared with
}

func readDescription(t *testing.T) *sdkDocument {
	t.Helper()
	whole, err := Description("")
	if err != nil {
		t.Fatal(err)
	}
	d := &sdkDocument{seen: map[string]bool{}}
	if err := json.Unmarshal(whole.JSON(), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// members are what an object of the schema may have, by name. The schemas that say so are marked as seen.
func (d *sdkDocument) members(s *sdkSchema) map[string]*sdkSchema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		d.seen[name] = true
		return d.members(d.Components.Schemas[name])
	}
	all := maps.Clone(s.Properties)
	for _, part := range slices.Concat(s.AllOf, s.AnyOf, s.OneOf) {
		if all == nil {
			all = map[string]*sdkSchema{}
		}
		maps.Copy(all, d.members(part))
	}
	return all
}

// element is the schema of a list's items or of an object's values; the schema itself where it is neither.
func (d *sdkDocument) element(s *sdkSchema) *sdkSchema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok && d.Components.Schemas[name].Properties == nil {
		return d.element(d.Components.Schemas[name])
	}
	if s.Items != nil {
		return s.Items
	}
	var values sdkSchema
	if len(s.Values) > 0 && s.Values[0] == '{' && json.Unmarshal(s.Values, &values) == nil {
		return &values
	}
	return s
}

// compare reports where a Go type has other members than the schema, at any depth.
func (d *sdkDocument) compare(t *testing.T, at string, model reflect.Type, s *sdkSchema) {
	t.Helper()
	for model.Kind() == reflect.Pointer || model.Kind() == reflect.Slice || model.Kind() == reflect.Map {
		if model.Kind() != reflect.Pointer {
			s = d.element(s)
		}
		model = model.Elem()
	}
	if model.Kind() != reflect.Struct || model == reflect.TypeFor[time.Time]() {
		return
	}
	members, fields := d.members(s), map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(model) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && !f.Anonymous && name != "-" {
			fields[name] = f.Type
		}
	}
	if got, want := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(members)); !slices.Equal(got, want) {
		t.Errorf("%s: %s has %v, the schema %v", at, model, got, want)
		return
	}
	for name, member := range members {
		d.compare(t, at+"."+name, fields[name], member)
	}
}

// sdkModels are the Go SDK's types by the names of their schemas; what these hold is compared with them.
var sdkModels = map[string]reflect.Type{
	"ApiKeyCreated":     reflect.TypeFor[sdk.CreatedAPIKey](),
	"ApiKeyList":        reflect.TypeFor[sdk.Page[sdk.APIKey]](),
	"ApiKeyRotation":    reflect.TypeFor[sdk.Rotation](),
	"AuditRecordList":   reflect.TypeFor[sdk.Page[sdk.AuditRecord]](),
	"ClientList":        reflect.TypeFor[sdk.Page[sdk.ClientAccount]](),
	"ClientUpdate":      reflect.TypeFor[sdk.ClientUpdate](),
	"Credit":            reflect.TypeFor[sdk.Credit](),
	"EntryList":         reflect.TypeFor[sdk.Page[sdk.Entry]](),
	"ErrorRates":        reflect.TypeFor[sdk.ErrorRates](),
	"Failure":           reflect.TypeFor[sdk.Failure](),
	"Health":            reflect.TypeFor[sdk.Health](),
	"Heartbeat":         reflect.TypeFor[sdk.Renewal](),
	"HeartbeatRequest":  reflect.TypeFor[sdk.Heartbeat](),
	"JobEvent":          reflect.TypeFor[sdk.Event](),
	"JobList":           reflect.TypeFor[sdk.Page[sdk.Job]](),
	"JobSubmission":     reflect.TypeFor[sdk.Submission](),
	"JobTypeDefinition": reflect.TypeFor[sdk.JobTypeDefinition](),
	"JobTypeDeleted":    reflect.TypeFor[sdk.DeletedJobType](),
	"JobTypeList":       reflect.TypeFor[sdk.Page[sdk.JobType]](),
	"LeaseRequest":      reflect.TypeFor[sdk.LeaseRequest](),
	"Leases":            reflect.TypeFor[sdk.Leases](),
	"NewApiKey":         reflect.TypeFor[sdk.NewAPIKey](),
	"NewClient":         reflect.TypeFor[sdk.NewClient](),
	"Quote":             reflect.TypeFor[sdk.Quote](),
	"Readiness":         reflect.TypeFor[sdk.Readiness](),
	"Release":           reflect.TypeFor[sdk.Giveback](),
	"ReportBatch":       reflect.TypeFor[sdk.ReportBatch](),
	"ReportResults":     reflect.TypeFor[sdk.ReportResults](),
	"Reported":          reflect.TypeFor[sdk.Reported](),
	"Success":           reflect.TypeFor[sdk.Success](),
	"Usage":             reflect.TypeFor[sdk.Page[sdk.Usage]](),
}

// unmodelled are schemas without a Go type: the SDK makes errors of envelopes, lists of batches, and leaves documents be.
var unmodelled = []string{"Error", "JobBatch", "JobBatchAccepted", "Document"}

func TestTheGoModelsHaveTheFieldsOfTheSchemas(t *testing.T) {
	d := readDescription(t)
	delete(d.Components.Schemas["JobTypeDefinition"].Properties, "name") // in Go it is an argument
	for name, model := range sdkModels {
		if d.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		d.compare(t, name, model, &sdkSchema{Ref: "#/components/schemas/" + name})
	}
	for name, s := range d.Components.Schemas {
		if len(d.members(s)) > 0 && !d.seen[name] && !slices.Contains(unmodelled, name) {
			t.Errorf("no Go type stands for the schema %s", name)
		}
	}
}

func TestEveryOperationHasACaseOfTheSDKs(t *testing.T) {
	text, err := os.ReadFile("../sdk/cases/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Call struct{ Operation string }
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	for _, c := range cases {
		called[c.Call.Operation] = true
	}
	for path, item := range readDescription(t).Paths {
		for method, operation := range item {
			if operation.OperationID != "" && !called[operation.OperationID] {
				t.Errorf("%s (%s %s) has no case in sdk/cases/routes.json", operation.OperationID, method, path)
			}
		}
	}
}
