package main

import (
	"net/http"
	"time"
)

const (
	// maxBody bounds the body of a request, in bytes: nothing that is taken here is
	// larger. Who reads one may bound it further.
	maxBody = 1 << 20
	// bodyTimeout is how long a body may take, also one that nobody asked for and
	// net/http reads for the sake of the next request.
	bodyTimeout = 10 * time.Second
)

// boundBodies has next see bodies that end soon, in bytes and in time.
func boundBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			// A connection that cannot have one is gone.
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		next.ServeHTTP(w, r)
	})
}
