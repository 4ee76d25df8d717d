# Two commands matter: `make run` and `make test`. Each installs what is missing, builds what changed, and says what it does.
# `make help` lists the others. CMake does the building; this file only knows the order.

PRESET ?= $(if $(CI),ci,release)
BUILD := build/$(PRESET)
PYTHON := /usr/bin/python3
BINARY := $(BUILD)/tessera
WEB := net/web/dist/index.html
ARGS ?=
JOBS ?= $(shell nproc)
# Most tests wait for brokers and services more than they work.
TEST_JOBS ?= $(shell expr 2 '*' $(JOBS))
say = @printf '\033[1m==>\033[0m %s\n'
need = @docker/install-packages

# Sources of the viewer, so that it is built again only when one of them changed.
WEB_SOURCES := $(shell find net/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: help
help: ## This list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 \t\2/p' Makefile | expand -t 22
	@echo
	@echo '  PRESET=debug|asan|tsan|fuzz|ci picks another build (CMakePresets.json); ARGS="..." goes to `tessera serve`.'

# With a source in ARGS that one is served, and not the room.
SOURCES = $(filter synthetic:% rgbd:% recording:% shm:% amqp:% amqps:%,$(subst ",,$(subst ',,$(ARGS))))
SERVED = $(if $(SOURCES),,synthetic:room )$(ARGS)

.PHONY: run
run: build ## Starts the service: a synthetic room is scanned, and a page shows the mesh.
	$(say) "tessera serve $(SERVED)"
	@exec $(BINARY) serve $(SERVED)

.PHONY: build
build: binary ## Builds the viewer and the program, which holds it.

.PHONY: binary
binary: packages $(WEB) $(BUILD)/build.ninja
	$(say) "building the program ($(BUILD))"
	@cmake --build $(BUILD) --target tessera

PREFIX ?= /usr/local

.PHONY: install
install: binary ## Copies the program and the producer clients below PREFIX (/usr/local).
	$(say) "installing below $(PREFIX)"
	@cmake --install $(BUILD) --prefix $(PREFIX)

# Its program names the commit. What is built afterwards names none again: it would soon be that of an older tree.
COMMIT = $(shell git describe --always --dirty 2>/dev/null)
.PHONY: deb
deb: binary ## Makes Debian's package of it (build/release/tessera_*.deb), with a service of systemd.
	$(need) deb
	$(say) "packing"
	@trap 'cmake $(BUILD) -DTESSERA_COMMIT= $(QUIET)' EXIT && cmake $(BUILD) -DTESSERA_COMMIT=$(COMMIT) $(QUIET) \
	  && cmake --build $(BUILD) --target tessera && (cd $(BUILD) && cpack -G DEB $(QUIET) && ls -l $$PWD/tessera_*.deb)

.PHONY: test
test: tests ## Builds and passes every test: C++, Python, the viewer's, end to end.
	$(say) "running the tests"
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(TEST_JOBS)

.PHONY: tests
tests: packages-test $(WEB) $(BUILD)/build.ninja
	$(say) "building the program and its tests ($(BUILD))"
	@cmake --build $(BUILD)

.PHONY: test-asan
test-asan: ## All tests under AddressSanitizer and UndefinedBehaviorSanitizer.
	@$(MAKE) --no-print-directory test PRESET=asan

.PHONY: test-tsan
test-tsan: ## The tests that touch no CAF under ThreadSanitizer (CAF itself is not built for it).
	@$(MAKE) --no-print-directory packages-test
	@cmake --preset tsan $(QUIET)
	@cmake --build --preset tsan --target test_gpu test_gpu_cuda test_config
	@ctest --test-dir build/tsan --output-on-failure -R '^(gpu|gpu_cuda|config)$$'

.PHONY: torture
torture: packages-test binary ## Faults under load, each round ending in the undisturbed map's hash (SEED=1 ROUNDS=20, MINUTES=30 or KILLS=100).
	$(say) "torturing it"
	@$(PYTHON) -B tests/torture $(BINARY) $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(KILLS),--kills $(KILLS)) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: bench
bench: binary ## Measures, beside Open3D where that is installed; figures of record are in docs/benchmarks.md.
	$(need) test bench
	@cmake --build $(BUILD)
	$(say) "measuring"
	@TESSERA=$(BINARY) BUILD=$(BUILD) tests/bench/run

.PHONY: bundle
bundle: packages $(WEB) ## One folder to carry to another machine, with tests and benchmarks, and packed (build/bundle).
	$(need) bundle
	$(say) "building what is bundled (build/release)"
	@cmake --preset release -DTESSERA_CUDA=ON $(QUIET)
	@cmake --build build/release
	$(say) "bundling"
	@folder=$$(docker/bundle build/release build/bundle) && du -sh $$folder && cd build/bundle \
	  && tar -czf $${folder##*/}.tar.gz $${folder##*/} && du -h $${folder##*/}.tar.gz

.PHONY: image
image: ## Builds the image tessera:cpu without an engine, as root, and the list of its packages (build/image; IMAGE="--target cuda ...").
	$(need) image
	$(say) "building the image"
	@docker/image --out build/image $(IMAGE)

.PHONY: reproducible
reproducible: packages $(WEB) ## Builds the program in two folders, without ccache, and compares the bytes (TARGETS=tessera).
	$(say) "building twice"
	@tests/reproducible $(TARGETS)

.PHONY: fuzz
fuzz: ## Runs each fuzz target for a minute (SECONDS_EACH=60).
	$(need) build test fuzz
	@cmake --preset fuzz $(QUIET)
	@cmake --build --preset fuzz
	@tests/fuzz/run build/fuzz $(or $(SECONDS_EACH),60)

.PHONY: web
web: packages $(WEB) ## Builds the viewer (net/web/dist).

$(WEB): $(WEB_SOURCES) build/.node-modules | packages
	$(say) "building the viewer (net/web)"
	@cd net/web && npm run --silent build -- --logLevel warn
	@touch $@

build/.node-modules: net/web/package.json net/web/package-lock.json | packages
	$(say) "installing the viewer's packages"
	@cd net/web && npm ci --include=dev --silent --no-audit --no-fund --no-update-notifier
	@mkdir -p build && touch $@

QUIET := >/dev/null

$(BUILD)/build.ninja: CMakePresets.json docker/packages.txt | packages $(WEB)
	$(say) "configuring ($(PRESET))"
	@cmake --preset $(PRESET) $(QUIET)
	@touch $@

.PHONY: packages packages-test
packages: ## Installs the Debian packages that a build needs (docker/packages.txt is the list).
	$(need) build web
packages-test:
	$(need) build web test

CPP := git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp'

.PHONY: format
format: ## Formats all C++ in place.
	$(need) lint
	$(say) "formatting"
	@$(CPP) | xargs clang-format -i

.PHONY: format-check
format-check:
	$(need) lint
	@$(CPP) | xargs clang-format --dry-run -Werror

.PHONY: lint
lint: $(BUILD)/build.ninja ## Checks with clang-tidy: few checks, all of them errors.
	$(need) test lint
	$(say) "linting"
	@tests/lint $(BUILD) $(JOBS)

.PHONY: clean
clean: ## Removes all that was built.
	rm -rf build net/web/dist net/web/node_modules
