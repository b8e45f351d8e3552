package executor

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	mostUnits     = 1_000_000_000_000 // of one name
	mostUnitNames = 100
)

// parseUnits reads the header X-Tallygate-Units, such as "page=12, image=3": unit names as job types have them and
// whole numbers, each name once. Several headers count as one list (RFC 9110, section 5.3).
func parseUnits(values []string) (map[string]int64, error) {
	if len(values) == 0 {
		return nil, nil
	}
	units := map[string]int64{}
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		part = strings.Trim(part, " \t")
		name, number, _ := strings.Cut(part, "=")
		if !isUnitName(name) {
			return nil, fmt.Errorf("%.40q is not of the form name=number", part)
		}
		count, ok := parseCount(number)
		if !ok {
			return nil, fmt.Errorf("%s must be a whole number from 0 to %d, not %.40q", name, mostUnits, number)
		}
		if _, twice := units[name]; twice {
			return nil, fmt.Errorf("%s stands there twice", name)
		}
		if len(units) == mostUnitNames {
			return nil, fmt.Errorf("there are more than %d units", mostUnitNames)
		}
		units[name] = count
	}
	return units, nil
}

func isUnitName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if letter := c >= 'a' && c <= 'z'; !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// parseCount reads decimal digits alone, without leading zeros.
func parseCount(s string) (int64, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= mostUnits
}
