package api

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/tallygate/tallygate"
)

// health answers as long as the process serves requests.
func (c *call) health() error { return c.send([]byte(`{"status":"ok"}`)) }

// ready answers 200 where new requests are taken.
func (c *call) ready() error {
	s := c.server
	if s.draining() || s.leaving.Load() {
		return goingDown
	}
	answer := map[string]any{}
	if s.opt.Ready != nil {
		maps.Copy(answer, s.opt.Ready())
	}
	if status, ok := answer["status"]; ok && status != "ok" {
		return tallygate.Errorf(tallygate.ServiceUnavailable, "not ready: %v", answer["reason"])
	}
	answer["status"] = "ok"
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("readiness: %w", err)
	}
	return c.send(body)
}
