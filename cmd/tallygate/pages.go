package main

import (
	"net/http"
	"sync"

	"github.com/tallygate/tallygate/api"
	"github.com/tallygate/tallygate/docs"
)

// mountDocs lets the server answer for the documentation, which is made when a page is first asked for: most servers are
// asked for none.
func mountDocs(s *api.Server, publicURL string) {
	site := sync.OnceValues(func() (*docs.Site, error) {
		description, err := api.Description(publicURL)
		if err != nil {
			return nil, err
		}
		return docs.New(docs.Options{PublicURL: publicURL, OpenAPI: description.JSON()})
	})
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, err := site()
		if err != nil {
			panic(err) // all that it is made of is in the program, and tested
		}
		site.ServeHTTP(w, r)
	})
	for _, prefix := range docs.Prefixes {
		s.Mount(prefix, pages, docs.Methods...)
	}
}
