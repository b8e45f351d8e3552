package api

import (
	"strconv"

	"github.com/tallygate/tallygate"
)

// listAudit is GET /v1/audit: who did what, newest first.
func (c *call) listAudit() error {
	page := c.query().page(auditList, c.r.URL.Path)
	if err := c.checked(); err != nil {
		return err
	}
	events, err := c.server.opt.Queue.AuditEvents(c.ctx, more(page))
	if err != nil {
		return err
	}
	events, next := cut(events, page, func(e *tallygate.Event) string { return strconv.FormatInt(e.Number, 10) })
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, events, encodeCursor(auditList, c.r.URL.Path, next), appendEvent)
	})
}
