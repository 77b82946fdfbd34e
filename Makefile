# eddh: PGXS as everybody knows it (make, make install, make installcheck), and two commands of its own:
#   make demo    train, encode, search on real pictures in a private server; writes a page to look at
#   make test    every test, in private servers
# Both install missing packages (scripts/install-deps) and leave nothing behind.

EXTENSION = eddh
EXTVERSION = 1.1
MODULE_big = eddh

# One folder a room (src/README.md). The plain-C rooms never see postgres.h and are also linked into test and bench programs.
PLAIN_SOURCES = $(wildcard src/common/*.c src/image/*.c src/nn/*.c src/hash/*.c src/bits/kernels*.c src/train/forecast.c)
PG_SOURCES = $(filter-out $(PLAIN_SOURCES), \
	$(wildcard src/*.c src/bits/*.c src/index/*.c src/model/*.c src/train/*.c src/sqlapi/*.c))
GENERATED_SOURCES = build/onnx.pb-c.c
PLAIN_OBJS = $(PLAIN_SOURCES:.c=.o) $(GENERATED_SOURCES:.c=.o)
OBJS = $(PG_SOURCES:.c=.o) $(PLAIN_OBJS)

# One readable truth a room, in install order; version 1.0 is their concatenation, later versions are steps.
SQL_PARTS = $(wildcard $(addprefix sql/, bits.sql index.sql model.sql train.sql sqlapi.sql))
DATA_built = build/eddh--1.0.sql
# share/eddh_photo.onnx: weights of the backbone `photo` (tools/photo/README.md).
DATA = $(wildcard sql/eddh--*--*.sql) share/eddh_photo.onnx
DOCS = share/NOTICE share/LICENSE.Apache-2.0

# The serial OpenBLAS: a backend must never grow threads (src/nn/README.md).
BLAS_LIBDIR := $(firstword $(wildcard /usr/lib/*/openblas-serial) $(shell pkg-config --variable=libdir openblas 2>/dev/null))
BLAS_INCLUDE := $(firstword $(wildcard /usr/include/*/openblas-serial) $(shell pkg-config --variable=includedir openblas 2>/dev/null))
PLAIN_LIBS = -L$(BLAS_LIBDIR) -Wl,-rpath,$(BLAS_LIBDIR) -lopenblas -lprotobuf-c -ljpeg -lpng16 -lwebp -lm -lpthread

WARNINGS = -Wall -Wextra -Wshadow -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-declaration-after-statement -Werror
PG_CPPFLAGS = -MMD -MP -I$(srcdir)/src -I$(srcdir)/build -I$(BLAS_INCLUDE)
PG_CFLAGS = $(WARNINGS) $(OPT)
SHLIB_LINK = $(PLAIN_LIBS)

EXTRA_CLEAN = build $(OBJS:.o=.d)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
# Bitcode would compile everything twice for a JIT that cannot inline these functions usefully.
override with_llvm = no

# scripts/test runs pg_regress itself, on a staged server; this is for `make installcheck` against a server of the user's own.
REGRESS = $(basename $(notdir $(wildcard sql_tests/*.sql)))
REGRESS_OPTS = --load-extension=eddh --inputdir=build/regress --outputdir=build/regress

.DEFAULT_GOAL := all
include $(PGXS)

$(PLAIN_OBJS): override CFLAGS += -O3 -fno-math-errno -fno-trapping-math
build/onnx.pb-c.o: override CFLAGS += -Wno-error

build:
	mkdir -p build

build/eddh--1.0.sql: $(SQL_PARTS) | build
	cat $(SQL_PARTS) > $@

ONNX_PROTO_DIR ?= /usr/include/onnx
build/onnx.pb-c.c: $(ONNX_PROTO_DIR)/onnx.proto | build
	protoc-c --proto_path=$(ONNX_PROTO_DIR) --c_out=build $<

build/onnx.pb-c.h: build/onnx.pb-c.c ;
$(PLAIN_SOURCES:.c=.o): | build/onnx.pb-c.c

# Headers an object has seen, written beside it by the compiler; and the flags that made it.
$(OBJS): Makefile
-include $(OBJS:.o=.d)

# Unit programs, fuzzers and benchmarks of the plain-C rooms: one program a file, linked with all plain objects.
UNIT_PROGRAMS = $(patsubst test/unit/%.c,build/unit/%,$(wildcard test/unit/test_*.c))
$(UNIT_PROGRAMS): build/unit/%: test/unit/%.c $(wildcard test/unit/*.h) $(PLAIN_OBJS)
	@mkdir -p build/unit
	$(CC) $(CFLAGS) $(PG_CPPFLAGS) -Itest/unit $< $(PLAIN_OBJS) -o $@ -lcmocka $(PLAIN_LIBS)

BENCH_PROGRAMS = $(patsubst bench/%.c,build/bench/%,$(wildcard bench/*.c))
$(BENCH_PROGRAMS): build/bench/%: bench/%.c bench/bench.h $(PLAIN_OBJS)
	@mkdir -p build/bench
	$(CC) $(CFLAGS) $(PG_CPPFLAGS) -Ibench $< $(PLAIN_OBJS) -o $@ $(PLAIN_LIBS)

build/demo/idx_rows: tools/demo/idx_rows.c
	@mkdir -p build/demo
	$(CC) $(CFLAGS) $(WARNINGS) $< -o $@ -ljpeg -lz

# What the recipe of the backbone `photo` trains with (tools/photo/README.md).
build/photo/learn: tools/photo/learn.c $(PLAIN_OBJS)
	@mkdir -p build/photo
	$(CC) $(CFLAGS) -O3 -ffast-math $(PG_CPPFLAGS) $< $(PLAIN_OBJS) -o $@ $(PLAIN_LIBS)

# What test/tools compares with other implementations.
build/test/itq build/test/shallow: build/test/%: test/tools/%.c $(PLAIN_OBJS)
	@mkdir -p build/test
	$(CC) $(CFLAGS) $(PG_CPPFLAGS) $< $(PLAIN_OBJS) -o $@ $(PLAIN_LIBS)

unit-programs: $(UNIT_PROGRAMS)
bench-programs: $(BENCH_PROGRAMS)

installcheck: regress-folder
regress-folder:
	mkdir -p build/regress
	ln -sfn $(CURDIR)/sql_tests build/regress/sql
	ln -sfn $(CURDIR)/expected build/regress/expected

check-layers:
	scripts/check-layers

format:
	scripts/format
check-format:
	scripts/format --check

test:
	scripts/test $(SUITES)

table1:
	scripts/table1

demo:
	scripts/demo

# Coverage-guided fuzzing of the readers of hostile bytes: make fuzz SECONDS=60 [TARGETS="image onnx"]
SECONDS ?= 60
fuzz:
	scripts/fuzz $(SECONDS) $(TARGETS)

.PHONY: unit-programs bench-programs regress-folder check-layers format check-format test table1 demo fuzz
