package postgres

import (
	"fmt"
	"strings"
	"time"
)

// setting is one of PostgreSQL's.
type setting struct{ name, value string }

// byKeys has statements walk indexes in their order. That is all that a server does, but statistics that are missing, or
// were taken while a table was small or all its rows were of one client, tell otherwise: a sort of a whole queue, or a
// walk along all that a client ever had, was then taken to be cheaper.
var byKeys = []setting{
	{"enable_seqscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_sort", "off"},
	{"enable_hashjoin", "off"}, {"enable_mergejoin", "off"}, {"jit", "off"},
	{"plan_cache_mode", "force_generic_plan"}, // by keys it is the same plan for all values; else one is made for each batch
}

// wholeSQL takes byKeys back for a transaction.
var wholeSQL = func() string {
	var sets []string
	for _, s := range byKeys {
		if strings.HasPrefix(s.name, "enable_") {
			sets = append(sets, "set_config('"+s.name+"', 'on', true)")
		}
	}
	return "SELECT " + strings.Join(sets, ", ")
}()

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
