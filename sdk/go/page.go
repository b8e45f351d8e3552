package tallygate

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Page is a part of a list.
type Page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"next_cursor,omitzero"` // where the next page begins; empty: this is the last
}

// ListOptions say which part of a list a page is.
type ListOptions struct {
	Limit  int    // items of a page, 1 to 100; 0: the server's usual 20
	Cursor string // of the page before; empty: the beginning
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Cursor != "" {
		q.Set("cursor", o.Cursor)
	}
	return q
}

// list fetches one page.
func list[T any](ctx context.Context, c *Client, operation, path string, query url.Values, options []CallOption) (*Page[T], error) {
	return fetch[Page[T]](ctx, c, request{operation: operation, method: http.MethodGet, path: path, query: query}, options)
}

// all walks over a list page by page. An error ends it.
func all[T any](fetch func(cursor string) (*Page[T], error), cursor string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			page, err := fetch(cursor)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Data {
				if !yield(&page.Data[i], nil) {
					return
				}
			}
			if cursor = page.NextCursor; cursor == "" {
				return
			}
		}
	}
}
