package executor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParseUnits(t *testing.T) {
	var many []string
	for i := range mostUnitNames + 1 {
		many = append(many, fmt.Sprintf("u%d=1", i))
	}
	for name, c := range map[string]struct {
		headers []string
		want    map[string]int64
		fault   string // in the error; empty: none
	}{
		"none":            {nil, nil, ""},
		"one":             {[]string{"page=12"}, map[string]int64{"page": 12}, ""},
		"two":             {[]string{"page=12, image_2=0"}, map[string]int64{"page": 12, "image_2": 0}, ""},
		"tight and loose": {[]string{" page=1,image=2 ,\tgram=3\t"}, map[string]int64{"page": 1, "image": 2, "gram": 3}, ""},
		"two headers":     {[]string{"page=1", "image=2"}, map[string]int64{"page": 1, "image": 2}, ""},
		"the most":        {[]string{"page=1000000000000"}, map[string]int64{"page": mostUnits}, ""},
		"empty":           {[]string{""}, nil, `"" is not of the form`},
		"no number":       {[]string{"page"}, nil, `page must be a whole number`},
		"empty number":    {[]string{"page="}, nil, `not ""`},
		"no name":         {[]string{"=1"}, nil, "form name=number"},
		"capitals":        {[]string{"Page=1"}, nil, "form name=number"},
		"digit first":     {[]string{"1page=1"}, nil, "form name=number"},
		"name too long":   {[]string{strings.Repeat("p", 33) + "=1"}, nil, "form name=number"},
		"space before =":  {[]string{"page =1"}, nil, "form name=number"},
		"space after =":   {[]string{"page= 1"}, nil, `not " 1"`},
		"sign":            {[]string{"page=+1"}, nil, `not "+1"`},
		"negative":        {[]string{"page=-1"}, nil, `not "-1"`},
		"leading zero":    {[]string{"page=01"}, nil, `not "01"`},
		"fraction":        {[]string{"page=1.5"}, nil, `not "1.5"`},
		"underscores":     {[]string{"page=1_0"}, nil, `not "1_0"`},
		"too many":        {[]string{"page=1000000000001"}, nil, "from 0 to 1000000000000"},
		"overflow":        {[]string{"page=99999999999999999999"}, nil, "from 0 to 1000000000000"},
		"twice":           {[]string{"page=1, page=1"}, nil, "page stands there twice"},
		"twice apart":     {[]string{"page=1", "page=2"}, nil, "page stands there twice"},
		"trailing comma":  {[]string{"page=1,"}, nil, `"" is not of the form`},
		"semicolon":       {[]string{"page=1;image=2"}, nil, `not "1;image=2"`},
		"endless":         {many, nil, "more than 100 units"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseUnits(c.headers)
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Fatalf("error %v, want %q", err, c.fault)
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func FuzzParseUnits(f *testing.F) {
	f.Add("page=12, image=3")
	f.Add("page=01,,x=\t5")
	f.Fuzz(func(t *testing.T, header string) {
		units, err := parseUnits([]string{header})
		if err != nil {
			return
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(units)) {
			if units[name] < 0 || units[name] > mostUnits {
				t.Errorf("%s=%d", name, units[name])
			}
			parts = append(parts, fmt.Sprintf("%s=%d", name, units[name]))
		}
		again, err := parseUnits([]string{strings.Join(parts, ", ")})
		if err != nil || !maps.Equal(again, units) {
			t.Errorf("%q reads as %v, and that as %v, %v", header, units, again, err)
		}
	})
}
