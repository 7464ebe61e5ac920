# Miju. The first three targets are all that most people need.
GO      ?= go
# The release that go.mod names, also where the environment (as images of Go do)
# says to stay with the one that is installed. Without a network: make GOTOOLCHAIN=local
export GOTOOLCHAIN := auto
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
WEB     := origin/web
PAGE    := $(WEB)/dist/index.html

.PHONY: run test build lint vuln web cross fuzz soak bench bench-fanout tools clean

# Serve the demo stream at http://localhost:8080/live/demo
run: build
	bin/miju serve --demo

# Everything that must hold; installs the Debian packages it needs.
test: tools web lint vuln cross
	cd $(WEB) && npm test
	$(GO) test -race -p 3 $$($(GO) list ./... | grep -v -e /cmd/miju -e /ingest/srt)
	$(GO) test ./nowait # whose calls are others with -race
	$(GO) test -race ./ingest/srt/... # alone: the kernel drops packets that a busy machine does not take in time
	$(GO) test -race -parallel 6 -timeout 12m ./cmd/miju # with the machine to itself: browsers play in it

build: web
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/miju ./cmd/miju

web: $(PAGE)

$(PAGE): $(WEB)/package-lock.json $(WEB)/index.html $(wildcard $(WEB)/*.ts $(WEB)/*.json $(WEB)/src/* $(WEB)/src/*/*)
	cd $(WEB) && npm ci --no-audit --no-fund && npm run build
	@touch $(PAGE)

lint: web
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$($(GO) tool gofumpt -l .); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	cd $(WEB) && npm run lint

# Known vulnerabilities of what the binary calls, if their database can be
# reached; with VULN=required it must be.
vuln:
	GO=$(GO) scripts/vulncheck.sh

# The binary needs no cgo anywhere.
cross:
	@for t in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "build for $$t"; \
	  CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -o /dev/null ./cmd/miju || exit 1; \
	done

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 1m
fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# What takes longer than a gate may.
soak: tools web
	MIJU_SOAK=1 $(GO) test -race -timeout 60m -run 'Soak|WithoutSound|HLS|WatchPagePlays|ChatTime' -v ./cmd/miju
	MIJU_SOAK=1 $(GO) test -race -timeout 60m -parallel 4 -run 'HLSRules|HLSPlayers' -v ./cmd/miju
	MIJU_SOAK=1 $(GO) test -race -timeout 60m -run 'Churn|Soak' -v ./ingest/rtmp ./ingest/srt
	MIJU_SOAK=1 $(GO) test -timeout 60m -run ThirtyDays -v ./ingest
	MIJU_SOAK=1 $(GO) test -timeout 60m -run Crowd -v ./cmd/miju # without -race, which takes the time that the viewers need

# What the hot paths cost; docs/bench.md has their names.
bench:
	$(GO) test -run xxx -bench . -benchmem ./...

# What viewers cost on this machine: VIEWERS (200) for DURATION (10 s), in four ways.
bench-fanout:
	GO=$(GO) scripts/bench-fanout.sh

tools:
	@scripts/test-tools.sh

clean:
	rm -rf bin $(WEB)/node_modules
	find $(WEB)/dist -mindepth 1 ! -name .gitkeep -delete
