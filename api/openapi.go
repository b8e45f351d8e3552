package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
)

// The API's description is written by hand in openapi.yaml. What the tables of routes and codes know is added here, so
// that it can't differ from them; a test makes sure that both speak of the same routes.

//go:embed openapi.yaml
var openapiSource []byte

// OpenAPI is the API's description, a document of OpenAPI 3.1.
type OpenAPI struct{ root *yaml.Node }

// Description returns the description of the API of a server at the address; empty: wherever the document is found.
func Description(publicURL string) (*OpenAPI, error) {
	var source yaml.Node
	if err := yaml.Unmarshal(openapiSource, &source); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	root := plainTree(source.Content[0])
	e := expansion{root: root, details: take(root, "x-details")}
	if publicURL != "" {
		set(get(root, "servers").Content[0], "url", textNode(publicURL))
		set(get(root, "externalDocs"), "url", textNode(publicURL+"/docs"))
	} else {
		take(root, "externalDocs")
	}
	e.exampleCodes()
	for _, rt := range routes() {
		if err := e.operation(rt); err != nil {
			return nil, fmt.Errorf("openapi.yaml: %s: %w", rt.name(), err)
		}
	}
	for _, item := range valueNodes(get(root, "paths")) {
		take(item, "parameters")
	}
	take(get(root, "components"), "responses")
	return &OpenAPI{root}, nil
}

// JSON is the document as JSON text, its members in the order of the source.
func (d *OpenAPI) JSON() []byte { return append(appendTree(nil, d.root), '\n') }

// YAML is the document as YAML text.
func (d *OpenAPI) YAML() ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(d.root); err != nil {
		return nil, err
	}
	return b.Bytes(), encoder.Close()
}

// expansion adds what follows from the tables to the source.
type expansion struct {
	root    *yaml.Node
	details *yaml.Node // how the error of each code reads
}

// Headers of answers, by name among the components.
var (
	everyHeader = []string{"X-Request-Id", "Access-Control-Allow-Origin"}
	keyHeaders  = []string{"Cache-Control", "RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
	errorHeader = []string{"X-Error-Code", "X-Should-Retry", "Link"}
)

// Codes that a route can answer whatever it does.
var (
	everyCode = []tallygate.Code{tallygate.InvalidRequest, tallygate.InternalError}
	keyCodes  = []tallygate.Code{
		tallygate.AuthenticationFailed, tallygate.InvalidAPIKey, tallygate.ExpiredAPIKey, tallygate.RevokedAPIKey,
		tallygate.AuthorizationFailed, tallygate.SuspendedAccount, tallygate.InsufficientPermissions,
		tallygate.InvalidParameter, tallygate.RateLimitExceeded, tallygate.DatabaseError, tallygate.ServiceUnavailable,
	}
	bodyCodes = []tallygate.Code{tallygate.InvalidFormat}
)

// exampleCodes lists the codes, and makes the error of each an example.
func (e *expansion) exampleCodes() {
	components := get(e.root, "components")
	enum := listNode()
	for _, code := range tallygate.Codes() {
		f := code.Facts()
		enum.Content = append(enum.Content, textNode(f.Name))
		fault := &tallygate.Error{Code: code}
		if detail := get(e.details, f.Name); detail != nil {
			fault.Detail = detail.Value
		}
		set(get(components, "examples"), f.Name, objectNode("summary", textNode(f.Message), "description", textNode(f.Remedy+"."),
			"value", objectNode("error", objectNode("code", textNode(f.Name), "message", textNode(fault.Message())))))
	}
	set(get(components, "schemas", "ErrorCode"), "enum", enum)
}

// operation completes the operation of a route.
func (e *expansion) operation(rt *route) error {
	item := get(e.root, "paths", rt.path)
	op := get(item, strings.ToLower(rt.method))
	if op == nil {
		return fmt.Errorf("the route is not described")
	}
	own, err := codesNamed(take(op, "x-codes"))
	if err != nil {
		return err
	}
	codes := slices.Concat(everyCode, own)
	if rt.kind == open {
		set(op, "security", listNode())
	} else {
		codes = append(codes, keyCodes...)
		set(op, "x-permission", textNode(string(rt.permission)))
		set(op, "x-cost", numberNode(rt.cost))
		need := "\n\nNeeds the permission `" + string(rt.permission) + "`"
		if rt.permission.NeedsOperator() {
			need += ", which operators' keys alone can have"
		}
		description := get(op, "description")
		description.Value = strings.TrimSpace(description.Value) + need + "."
	}
	if get(op, "requestBody") != nil {
		codes = append(codes, bodyCodes...)
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	names := listNode()
	for _, code := range codes {
		names.Content = append(names.Content, textNode(code.String()))
	}
	set(op, "x-codes", names)
	e.parameters(rt, item, op)
	return e.responses(rt, op, codes)
}

func codesNamed(names *yaml.Node) (codes []tallygate.Code, err error) {
	if names == nil {
		return nil, nil
	}
	for _, name := range names.Content {
		code, ok := tallygate.ParseCode(name.Value)
		if !ok {
			return nil, fmt.Errorf("there is no code %q", name.Value)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// parameters gathers those of the path, the operation's own and the Idempotency-Key.
func (e *expansion) parameters(rt *route, item, op *yaml.Node) {
	all := listNode()
	for _, from := range []*yaml.Node{get(item, "parameters"), take(op, "parameters")} {
		if from != nil {
			all.Content = append(all.Content, plainTree(from).Content...)
		}
	}
	named := func(p *yaml.Node) bool {
		name := get(p, "name")
		return name != nil && name.Value == tallygate.IdempotencyHeader
	}
	if rt.takesKey && !slices.ContainsFunc(all.Content, named) {
		all.Content = append(all.Content, reference("parameters", "IdempotencyKey"))
	}
	if len(all.Content) > 0 {
		set(op, "parameters", all)
	}
}

// responses completes the successes and adds the errors, by status.
func (e *expansion) responses(rt *route, op *yaml.Node, codes []tallygate.Code) error {
	all := get(op, "responses")
	onEveryAnswer := slices.Clone(everyHeader)
	if rt.kind != open {
		onEveryAnswer = append(onEveryAnswer, keyHeaders...)
	}
	var alsoOnErrors []string
	for i := 1; i < len(all.Content); i += 2 {
		success := all.Content[i]
		if name, ok := referred(success, "responses"); ok {
			if success = plainTree(get(e.root, "components", "responses", name)); success == nil {
				return fmt.Errorf("there is no response %q", name)
			}
			all.Content[i] = success
		}
		if get(success, "headers", "X-Tallygate-Job-Id") != nil {
			alsoOnErrors = append(alsoOnErrors, "X-Tallygate-Job-Id")
			if rt.takesKey { // a run that is joined may end in the job's error
				alsoOnErrors = append(alsoOnErrors, "Idempotent-Replayed")
			}
		}
		e.headers(success, onEveryAnswer)
		if rt.takesKey {
			e.headers(success, []string{"Idempotent-Replayed"})
		}
	}
	byStatus := map[int][]tallygate.Code{}
	var statuses []int
	for _, code := range codes {
		if byStatus[code.Status()] == nil {
			statuses = append(statuses, code.Status())
		}
		byStatus[code.Status()] = append(byStatus[code.Status()], code)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		set(all, strconv.Itoa(status), e.refusal(status, byStatus[status], slices.Concat(onEveryAnswer, alsoOnErrors)))
	}
	return nil
}

// refusal is the answer of one status, with an example for each code.
func (e *expansion) refusal(status int, codes []tallygate.Code, headers []string) *yaml.Node {
	headers = slices.Concat(headers, errorHeader)
	var names []string
	examples := objectNode()
	for _, code := range codes {
		names = append(names, code.String())
		set(examples, code.String(), reference("examples", code.String()))
		h := &headersOf[code]
		if h.challenge != nil {
			headers = append(headers, "WWW-Authenticate")
		}
		if h.waits {
			headers = append(headers, "Retry-After")
		}
	}
	answer := objectNode("description", textNode(http.StatusText(status)+": "+strings.Join(names, ", ")))
	e.headers(answer, headers)
	set(answer, "content", objectNode(jsonType[0], objectNode("schema", reference("schemas", "Error"), "examples", examples)))
	return answer
}

// headers adds headers to an answer that has not said anything about them itself.
func (e *expansion) headers(answer *yaml.Node, names []string) {
	for _, name := range names {
		if get(answer, "headers") == nil {
			set(answer, "headers", objectNode())
		}
		if own := get(answer, "headers"); get(own, name) == nil {
			set(own, name, reference("headers", name))
		}
	}
}

// document is the description as it is served.
type document struct {
	once sync.Once
	body []byte
	tag  []string // ETag
	err  error
}

var documentAge = []string{"public, max-age=300"}

// openAPI is GET /openapi.json.
func (c *call) openAPI() error {
	d := &c.server.document
	d.once.Do(func() {
		var description *OpenAPI
		if description, d.err = Description(strings.TrimSuffix(c.server.opt.PublicURL, "/")); d.err != nil {
			return
		}
		d.body = description.JSON()
		sum := sha256.Sum256(d.body)
		d.tag = []string{`"` + hex.EncodeToString(sum[:16]) + `"`}
	})
	if d.err != nil {
		return d.err
	}
	h := c.w.Header()
	h["Cache-Control"] = documentAge
	h["Etag"] = d.tag
	if slices.ContainsFunc(c.r.Header["If-None-Match"], func(tags string) bool { return holdsTag(tags, d.tag[0]) }) {
		c.count(countKey{})
		c.status = http.StatusNotModified
		c.w.WriteHeader(c.status)
		return nil
	}
	return c.send(d.body)
}

// holdsTag reports whether one of the tags of an If-None-Match header is the tag (RFC 9110, section 13.1.2).
func holdsTag(tags, tag string) bool {
	for one := range strings.SplitSeq(tags, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
