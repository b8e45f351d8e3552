package api

import (
	"crypto/sha256"

	"github.com/tallygate/tallygate"
)

// bodyNeed tells whether an empty body will do.
type bodyNeed bool

const (
	mayBeEmpty  bodyNeed = false
	mustBeThere bodyNeed = true
)

// query cuts the request's query.
func (c *call) query() *query {
	if c.parameters == nil {
		c.parameters = parseQuery(&c.faults, c.r.URL.RawQuery)
	}
	return c.parameters
}

// object reads the body and cuts it into the members of the object that it has to be. An empty one counts as {} where
// nothing is required.
func (c *call) object(need bodyNeed) (*object, error) {
	value, err := c.value(need)
	if err != nil {
		return nil, err
	}
	if value == nil {
		value = emptyObject
	}
	o, ok := newObject(&c.faults, "", value)
	if !ok {
		return nil, tallygate.Errorf(tallygate.InvalidRequest, "the body must be a JSON object")
	}
	c.root = o
	return o, nil
}

// value reads the body, which may be any JSON value; nil where it is empty and may be.
func (c *call) value(need bodyNeed) ([]byte, error) {
	if err := c.readBody(); err != nil {
		return nil, err
	}
	if len(c.body) == 0 {
		if need == mustBeThere {
			return nil, tallygate.Errorf(tallygate.InvalidFormat, "the body is empty: send a JSON value")
		}
		return nil, nil
	}
	return c.body, parseBody(c.body)
}

// checked ends the checks of the request: nothing unknown may be left in its body and query, and its Idempotency-Key
// has to be one. It reports the faults found so far.
func (c *call) checked() error {
	c.checkRest()
	return c.faults.err()
}

// checkRest notes the faults of what nobody has asked for so far.
func (c *call) checkRest() {
	if c.root != nil {
		c.root.done()
	}
	if c.parameters != nil || c.r.URL.RawQuery != "" {
		c.query().done()
	}
	if c.route.takesKey {
		c.checkIdempotency()
	}
}

const maxIdempotencyKey = 255

// checkIdempotency reads the Idempotency-Key and, where there is one, makes the hash of the request that tells a
// repetition from another request under the same key.
func (c *call) checkIdempotency() {
	values := c.r.Header[tallygate.IdempotencyHeader]
	if len(values) == 0 {
		return
	}
	key := values[0]
	valid := len(values) == 1 && key != "" && len(key) <= maxIdempotencyKey
	for i := range len(key) {
		valid = valid && key[i] > ' ' && key[i] < 0x7f
	}
	if !valid {
		c.faults.invalid(tallygate.IdempotencyHeader, "must be one value of 1 to %d visible ASCII characters", maxIdempotencyKey)
		return
	}
	hash := sha256.New()
	for _, part := range [...]string{c.r.Method, c.r.URL.EscapedPath(), c.r.URL.RawQuery} {
		hash.Write([]byte(part))
		hash.Write([]byte{0})
	}
	hash.Write(c.body)
	c.record = tallygate.Idempotency{ClientID: c.caller.Client.ID, Key: key}
	hash.Sum(c.record.RequestHash[:0])
}

// sendEffect answers with what an effect recorded, made now or replayed.
func (c *call) sendEffect(body []byte, replayed bool) error {
	c.markReplayed(replayed)
	return c.send(body)
}

func (c *call) markReplayed(replayed bool) {
	if replayed {
		c.w.Header()["Idempotent-Replayed"] = yes
	}
}
