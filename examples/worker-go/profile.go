package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

// request is the input of a csv.profile job; job-type.yaml has its schema.
type request struct {
	Data      []byte `json:"data"` // base64 in JSON; may be gzip
	Separator string `json:"separator"`
}

// answer is what is in the file.
type answer struct {
	Rows    int64     `json:"rows"` // without the header
	Columns []*column `json:"columns"`
}

// column is what is in one column. The numbers are those of the cells that are some.
type column struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // number, text, or empty
	Empty    int64    `json:"empty"`
	Distinct int      `json:"distinct"` // at most mostDistinct are told apart
	Shortest int      `json:"shortest"` // characters
	Longest  int      `json:"longest"`
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
	Mean     *float64 `json:"mean,omitempty"`
	Stddev   *float64 `json:"stddev,omitempty"`

	seen    map[string]struct{}
	numbers int64
	texts   int64
	mean    float64
	m2      float64 // the sum of squared distances from the mean
	lowest  float64
	highest float64
}

const (
	mostDistinct = 10_000
	mostUnpacked = 256 << 20 // bytes, so that a small gzip cannot fill the memory
	unit         = 10_000    // rows between words of progress
)

// profile is the handler: it reads the file once, in constant memory beside the distinct values.
func profile(ctx context.Context, attempt *tallygate.Attempt, in request) (*answer, error) {
	packed := bytes.NewReader(in.Data)
	rows, err := reader(packed, in.Separator)
	if err != nil {
		return nil, tallygate.Final(err)
	}
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, tallygate.Final(errors.New("the file is empty"))
	}
	if err != nil {
		return nil, tallygate.Final(err)
	}
	found := &answer{}
	for _, name := range header {
		found.Columns = append(found.Columns, &column{Name: strings.TrimPrefix(name, "\uFEFF"), seen: map[string]struct{}{}})
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, tallygate.Final(err) // it names the line
		}
		for i, cell := range row {
			found.Columns[i].add(cell)
		}
		if found.Rows++; found.Rows%unit == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			attempt.Progress(1 - float64(packed.Len())/float64(len(in.Data)))
			attempt.Logf("%d rows", found.Rows)
		}
	}
	for _, c := range found.Columns {
		c.finish()
	}
	attempt.Use("kilorow", (found.Rows+999)/1000)
	return found, nil
}

// reader unpacks where the data begins as gzip does, and reads records as RFC 4180 has them.
func reader(packed *bytes.Reader, separator string) (*csv.Reader, error) {
	var plain io.Reader = packed
	if head, _ := bufio.NewReader(io.NewSectionReader(packed, 0, 2)).Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return nil, err
		}
		plain = &bounded{unpacked, mostUnpacked}
	}
	rows := csv.NewReader(plain)
	rows.ReuseRecord = true
	if separator != "" {
		rows.Comma, _ = utf8.DecodeRuneInString(separator)
	}
	return rows, nil
}

// bounded fails where more comes than is allowed.
type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the file unpacks to more than %d MiB", mostUnpacked>>20)
	}
	return n, err
}

// add counts a cell in. Mean and deviation follow Welford, "Note on a method for calculating corrected sums of squares and
// products", 1962.
func (c *column) add(cell string) {
	cell = strings.TrimSpace(cell)
	if cell == "" {
		c.Empty++
		return
	}
	length := utf8.RuneCountInString(cell)
	if c.numbers+c.texts == 0 {
		c.Shortest = length
	}
	c.Shortest, c.Longest = min(c.Shortest, length), max(c.Longest, length)
	if len(c.seen) < mostDistinct {
		c.seen[strings.Clone(cell)] = struct{}{}
	}
	x, err := strconv.ParseFloat(cell, 64)
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
		c.texts++
		return
	}
	c.numbers++
	if c.numbers == 1 {
		c.lowest, c.highest = x, x
	}
	c.lowest, c.highest = min(c.lowest, x), max(c.highest, x)
	delta := x - c.mean
	c.mean += delta / float64(c.numbers)
	c.m2 += delta * (x - c.mean)
}

// finish makes the column's own words of what was counted.
func (c *column) finish() {
	c.Distinct = len(c.seen)
	switch {
	case c.numbers+c.texts == 0:
		c.Kind = "empty"
	case c.texts > 0:
		c.Kind = "text"
	default:
		c.Kind = "number"
		deviation := 0.0
		if c.numbers > 1 {
			deviation = math.Sqrt(c.m2 / float64(c.numbers-1))
		}
		c.Min, c.Max, c.Mean, c.Stddev = new(c.lowest), new(c.highest), new(rounded(c.mean)), new(rounded(deviation))
	}
}

// rounded keeps twelve significant digits: sums of floats are no better than that.
func rounded(x float64) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 12, 64), 64) // of what was just written
	return y
}
