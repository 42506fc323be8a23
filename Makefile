# outpost: the whole build.  `make help` lists the targets; everything lands in build/.
-include config.mk

BUILD   ?= build
PREFIX  ?= /usr/local
bindir  ?= $(PREFIX)/bin
libexecdir ?= $(PREFIX)/libexec/outpost
datadir ?= $(PREFIX)/share
CC      ?= cc
PKG_CONFIG ?= pkg-config
CFLAGS  ?= -O2 -g
CUDA    ?= auto
CUDA_HOME ?= /usr/local/cuda
SM      ?= 75 80 86 89 90 100 120
SAN     ?=
WERROR  ?= 0
V       ?= 0
VERSION := $(shell cat VERSION)

# --- what is compiled ---------------------------------------------------------------------------
WARN    := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(if $(filter 1,$(WERROR)),-Werror)
HARDEN  := -fstack-protector-strong -fPIC $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
PKGS    := hdf5-serial libzip jansson yaml-0.1 libcrypto libpng libjpeg
PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null))
PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
BLAS_LIBS ?= -llapacke -lopenblas
DNNL_LIBS ?= -ldnnl
ALL_CPPFLAGS = -I. -D_GNU_SOURCE -DH5_USE_110_API -DOUTPOST_VERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = $(WARN) $(CFLAGS) -ffp-contract=off -fno-math-errno -fopenmp -pthread $(HARDEN) $(SANFLAGS) -MMD -MP
ALL_LDFLAGS = -Wl,-z,relro,-z,now -Wl,--as-needed $(SANFLAGS) -fopenmp -pthread $(LDFLAGS)
EXTRACT_LIBS = $(DNNL_LIBS) $(PKG_LIBS) $(BLAS_LIBS) -lz -ldl -lm
SCORE_LIBS = $(PKG_LIBS) $(BLAS_LIBS) -lz -ldl -lm

NVCC := $(firstword $(wildcard $(CUDA_HOME)/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA_FOUND := $(and $(NVCC),$(wildcard $(CUDA_HOME)/include/cudnn.h $(CUDA_HOME)/targets/*/include/cudnn.h))
ifeq ($(CUDA),1)
  $(if $(CUDA_FOUND),,$(error CUDA=1, but no nvcc and cudnn.h below $(CUDA_HOME)))
endif
WITH_CUDA := $(if $(filter 0,$(CUDA)),,$(CUDA_FOUND))

COMMON_SRC  := $(sort $(wildcard common/*.c common/*/*.c))
EXTRACT_SRC := $(sort $(filter-out extract/main.c extract/cuda/%,$(wildcard extract/*.c extract/*/*.c)))
SCORE_SRC   := $(sort $(filter-out score/main.c score/cuda/%,$(wildcard score/*.c score/*/*.c)))
KERNEL_SRC  := $(sort $(wildcard kernels/*.cu))
CUDA_SRC    := $(sort $(wildcard extract/cuda/*.c score/cuda/*.c))
UNIT_SRC    := $(sort $(filter-out $(if $(WITH_CUDA),,%/test_cuda_plans.c),$(wildcard tests/unit/test_*.c)))
TOOL_SRC    := $(sort $(wildcard tests/tools/*.c))
DEMO_SRC    := $(sort $(wildcard datalists/demo/*.c))

obj = $(patsubst %,$(BUILD)/obj/%.o,$(1))
COMMON_OBJ  := $(call obj,$(COMMON_SRC))
EXTRACT_OBJ := $(call obj,$(EXTRACT_SRC) $(KERNEL_SRC))
SCORE_OBJ   := $(call obj,$(SCORE_SRC))
UNIT_BIN    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_SRC))
TOOL_BIN    := $(patsubst tests/tools/%.c,$(BUILD)/tools/%,$(TOOL_SRC))
PROGRAMS    := $(BUILD)/extract $(BUILD)/score
PLUGIN      := $(if $(WITH_CUDA),$(BUILD)/outpost-cuda.so)

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' '$(1)' '$(2)';)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

help: ## this list
	@echo "outpost $(VERSION): make TARGET [VARIABLE=value]"
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s%s\n",$$1,$$2}' $(firstword $(MAKEFILE_LIST))
	@echo "variables: CUDA=auto|0|1 SM=\"...\" CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR SAN=address,undefined WERROR=1 V=1"

all: $(PROGRAMS) $(PLUGIN) ## build extract, score and, with the toolkit, outpost-cuda.so
	@echo "built $(PROGRAMS) $(if $(PLUGIN),$(PLUGIN),(no CUDA plugin: $(if $(filter 0,$(CUDA)),CUDA=0,no toolkit found)))"

$(BUILD)/extract: $(call obj,extract/main.c) $(BUILD)/libextract.a $(BUILD)/libcommon.a
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(EXTRACT_LIBS)
$(BUILD)/score: $(call obj,score/main.c extract/plugin.c) $(BUILD)/libscore.a $(BUILD)/libcommon.a
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(SCORE_LIBS)
$(BUILD)/libcommon.a: $(COMMON_OBJ)
$(BUILD)/libextract.a: $(EXTRACT_OBJ)
$(BUILD)/libscore.a: $(SCORE_OBJ)
$(BUILD)/lib%.a:
	$(call say,AR,$@)rm -f $@; $(AR) rcsD $@ $^

# The image sets of the demo are drawn, not downloaded.
$(BUILD)/demo-images: $(call obj,$(DEMO_SRC)) $(BUILD)/libcommon.a
	$(call say,LINK,$@)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# A changed flag rebuilds what it touches.
FLAGS_NOW := $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS)
$(BUILD)/flags: FORCE
	$(Q)mkdir -p $(BUILD); echo '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS_NOW))' > $@
FORCE:

$(BUILD)/obj/%.c.o: %.c $(BUILD)/flags
	$(call say,CC,$<)mkdir -p $(@D); $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(HOT) $(EXTRA_CFLAGS) -c -o $@ $<
# A kernel is compiled twice: here as C11, the CPU twin.
$(BUILD)/obj/%.cu.o: %.cu $(BUILD)/flags
	$(call say,CC,$<)mkdir -p $(@D); $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(EXTRA_CFLAGS) -x c -c -o $@ $<

# Hot loops.  A variable of their own: of two patterns that set the same one, the shorter stem wins,
# and conv_avx512.c would lose its vector flags.
$(BUILD)/obj/extract/cpu/%.c.o: HOT = -O3

# Files that use vector extensions say so in their name; which one runs is decided at run time.
$(BUILD)/obj/%_avx2.c.o: EXTRA_CFLAGS = -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512bf16.c.o: EXTRA_CFLAGS = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma
$(BUILD)/obj/%_avx512.c.o: EXTRA_CFLAGS = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c

# --- CUDA plugin ---------------------------------------------------------------------------------
GENCODE := $(foreach s,$(SM),-gencode arch=compute_$(s),code=sm_$(s)) \
           -gencode arch=compute_$(lastword $(SM)),code=compute_$(lastword $(SM))
CUDA_LIBS := -L$(CUDA_HOME)/lib64 -Wl,-rpath,$(CUDA_HOME)/lib64 -lcudnn -lcublas -lcublasLt -lcusolver -lcudart
CUDA_OBJ := $(call obj,$(CUDA_SRC)) $(patsubst %,$(BUILD)/cuda/%.o,$(KERNEL_SRC))
$(call obj,$(CUDA_SRC)): EXTRA_CFLAGS = -isystem $(CUDA_HOME)/include -fvisibility=hidden
# -fmad=false: twins round alike, so that what IEEE 754 defines is bit-equal on CPU and GPU.
NVCC_FLAGS := -std=c++17 -O2 -fmad=false -I. $(GENCODE) \
  -Xcompiler -fPIC,-fno-exceptions,-fno-threadsafe-statics,-fno-rtti,-fvisibility=hidden
$(BUILD)/nvcc-flags: FORCE
	$(Q)mkdir -p $(BUILD); echo '$(NVCC) $(NVCC_FLAGS)' | cmp -s - $@ || echo '$(NVCC) $(NVCC_FLAGS)' > $@
$(BUILD)/cuda/%.cu.o: %.cu $(BUILD)/nvcc-flags
	$(call say,NVCC,$<)mkdir -p $(@D); $(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<
$(BUILD)/outpost-cuda.so: $(CUDA_OBJ) $(BUILD)/libcommon.a
	$(call say,LINK,$@)$(CC) -shared $(ALL_LDFLAGS) $(if $(SAN),,-Wl,-z,defs) -Wl,--exclude-libs,ALL -o $@ $^ $(CUDA_LIBS) -ldl -lm

# --- tests ---------------------------------------------------------------------------------------
# The CUDA backend over a device in host memory whose calls can be made to fail: no toolkit needed.
MOCK_OBJ := $(call obj,$(sort $(wildcard tests/mock/*.c)) $(filter-out extract/cuda/calls% score/cuda/calls%,$(CUDA_SRC)))
$(BUILD)/libcudamock.a: $(MOCK_OBJ)
$(BUILD)/mock/outpost-cuda.so: $(MOCK_OBJ) $(call obj,$(KERNEL_SRC)) $(BUILD)/libcommon.a
	$(call say,LINK,$@)mkdir -p $(@D); $(CC) -shared $(ALL_LDFLAGS) $(if $(SAN),,-Wl,-z,defs) -Wl,--exclude-libs,ALL -o $@ $^ -lm
# The CUDA twins on that device: launches as loops over blocks and threads (tests/emu).
EMU_CXX := $(shell command -v $(CXX) 2>/dev/null)
$(BUILD)/emu/%.cu.o: %.cu tests/emu/cuda_runtime_api.h $(wildcard kernels/*.h kernels/*.def) $(BUILD)/flags
	$(call say,EMU,$<)mkdir -p $(@D); $(EMU_CXX) -x c++ -std=c++17 -O2 -g -fPIC -ffp-contract=off -fno-exceptions -fno-rtti \
	  -fno-threadsafe-statics $(SANFLAGS) -w -D__CUDACC__ -Itests/emu -I. -include cuda_runtime_api.h -c -o $@ $<
$(BUILD)/emu/mock.o: tests/mock/cuda.c $(BUILD)/flags
	$(call say,CC,$<)mkdir -p $(@D); $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -DMOCK_TWINS=kernels_cuda -c -o $@ $<
$(BUILD)/emu/outpost-cuda.so: $(BUILD)/emu/mock.o $(filter-out %/mock/cuda.c.o,$(MOCK_OBJ)) $(patsubst %,$(BUILD)/emu/%.o,$(KERNEL_SRC)) $(BUILD)/libcommon.a
	$(call say,LINK,$@)$(CC) -shared $(ALL_LDFLAGS) $(if $(SAN),,-Wl,-z,defs) -Wl,--exclude-libs,ALL -o $@ $^ -lm
$(BUILD)/unit/test_twins: $(PLUGIN) $(if $(EMU_CXX),$(BUILD)/emu/outpost-cuda.so)
$(BUILD)/unit/test_cuda_faults: $(BUILD)/libcudamock.a $(BUILD)/obj/tests/lib/hash_golden.c.o
$(BUILD)/unit/test_linalg_cuda: $(BUILD)/libcudamock.a
$(BUILD)/unit/test_plugin: $(BUILD)/mock/outpost-cuda.so $(PLUGIN)
# With the toolkit only: cuDNN plans for devices that are not here.
$(BUILD)/unit/test_cuda_plans: $(CUDA_OBJ)
$(BUILD)/unit/test_cuda_plans: EXTRACT_LIBS += $(CUDA_LIBS)
$(BUILD)/unit/test_cuda_plans: | $(BUILD)/driver/libcuda.so.1
$(BUILD)/driver/libcuda.so.1: tests/driver/libcuda.c
	$(call say,LINK,$@)mkdir -p $(@D); $(CC) -std=c11 -shared -fPIC -Wl,-soname,libcuda.so.1 -o $@ $<
$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.c.o $(BUILD)/libextract.a $(BUILD)/libscore.a $(BUILD)/libcommon.a
	$(call say,LINK,$@)mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(EXTRACT_LIBS) -lcmocka
$(BUILD)/unit/test_nets $(BUILD)/unit/test_gradients $(BUILD)/unit/test_gradient_images $(BUILD)/unit/test_replays $(BUILD)/unit/test_gradient_plans $(BUILD)/unit/test_adjoints $(BUILD)/unit/test_hash_golden $(BUILD)/unit/test_plan: $(BUILD)/obj/tests/lib/hash_golden.c.o
$(BUILD)/unit/test_demo_net: | $(BUILD)/demo-images
$(BUILD)/unit/test_positions $(BUILD)/unit/test_heads: $(BUILD)/obj/tests/lib/hash_golden.c.o
$(BUILD)/unit/test_keys $(BUILD)/unit/test_weights $(BUILD)/unit/test_heads: $(BUILD)/obj/tests/lib/sparse_checkpoint.c.o
$(BUILD)/unit/test_cuda_network: $(BUILD)/obj/tests/lib/hash_golden.c.o | $(BUILD)/mock/outpost-cuda.so
$(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.c.o $(BUILD)/libextract.a $(BUILD)/libscore.a $(BUILD)/libcommon.a
	$(call say,LINK,$@)mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(EXTRACT_LIBS)
$(BUILD)/tools/hash_weights: $(BUILD)/obj/tests/lib/hash_golden.c.o

# Shell and Python tests need no build of their own; each is one TAP stream.
CLI_TESTS := $(sort $(wildcard tests/cli/*.t))
deps: ## install the Debian packages that building and testing need
	$(Q)tests/deps.sh
demo: ## images, features and the GEN table on an embedded default; no download, no GPU
	$(Q)tests/deps.sh build
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/demo-images
	$(Q)datalists/demo/demo.sh $(BUILD) outputs/demo
test: ## set up, build and run every test
	$(Q)tests/deps.sh
	$(Q)$(MAKE) --no-print-directory check
check: all $(UNIT_BIN) $(TOOL_BIN) $(BUILD)/demo-images $(BUILD)/bench/ab ## build and run every test; what a commit must pass
	$(Q)tests/run.sh $(BUILD) $(UNIT_BIN) $(CLI_TESTS)
check-long: ## the heavy suites: kill tests, every prefix and bit flip, all golden networks
	$(Q)OUTPOST_LONG=1 HEAVY=1 $(MAKE) --no-print-directory check
asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer, in build/asan
	$(Q)$(MAKE) --no-print-directory check SAN=address,undefined BUILD=$(BUILD)/asan CUDA=0
check-slurm: $(PROGRAMS) $(BUILD)/demo-images ## the examples of examples/slurm on a Slurm of one node (root, slurmctld, slurmd)
	$(Q)OUTPOST_BUILD=$(BUILD) tests/slurm/run.sh

regen: $(PROGRAMS) $(TOOL_BIN) ## rewrite the expected tables of tests/cli (look at the diff)
	$(Q)REGEN=1 OUTPOST_BUILD=$(BUILD) tests/cli/30_score.t
fuzz: $(BUILD)/demo-images $(BUILD)/unit/test_jpeg_entropy ## libFuzzer over every reader of untrusted bytes; SECONDS_EACH=60
	$(Q)tests/fuzz/run.sh $(or $(SECONDS_EACH),60)

# --- a machine with a GPU (docs/gpu.md) ------------------------------------------------------------
GPU_TESTS := $(addprefix $(BUILD)/unit/,test_twins test_plugin test_cuda_network test_nets)
GPU_PARTS := $(PROGRAMS) $(PLUGIN) $(GPU_TESTS) $(BUILD)/tools/hash_weights $(BUILD)/demo-images
check-gpu: $(GPU_PARTS) ## every kernel, operator and network on the GPU; NETS="..." PRECISIONS="..."
	$(Q)tests/gpu/run.sh -b $(BUILD) facts twins plugin network nets repeat run several score memcheck racecheck
bench-gpu: $(GPU_PARTS) ## images/s on the GPU, networks alone and from files, ours and PyTorch's; NETS="..." PRECISIONS="..." BATCH=128
	$(Q)tests/gpu/run.sh -b $(BUILD) facts bench peers files
gpu-bundle: $(GPU_PARTS) ## both for a bare machine: build/gpu/bundle.tar.xz and run.sh
	$(Q)tests/gpu/bundle.sh $(BUILD)

# --- benchmarks: ours against peers, never a test ------------------------------------------------
BENCH_BIN := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.c.o
	$(call say,LINK,$@)mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) -o $@ $< -lm
bench: $(PROGRAMS) $(BENCH_BIN) $(BUILD)/tools/hash_weights $(BUILD)/tools/gradient_speed $(BUILD)/tools/entropy_bench $(BUILD)/tools/knn_bench ## speed and memory beside the peers of tests/bench/setup_peers.sh
	$(Q)sh tests/bench/bench.sh $(BUILD)

# --- manual pages and completion, printed by the programs themselves -------------------------------
pages: $(PROGRAMS) ## build/man/*.1 and build/completion/*, from the tables of options
	$(Q)tests/tools/pages.sh $(BUILD)

install: all pages ## install under $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(datadir)/doc/outpost/docs
	install -m 755 $(BUILD)/extract $(DESTDIR)$(bindir)/outpost-extract
	install -m 755 $(BUILD)/score $(DESTDIR)$(bindir)/outpost-score
	install -m 644 README.md LICENSE $(DESTDIR)$(datadir)/doc/outpost
	install -m 644 $(wildcard docs/*.md) $(DESTDIR)$(datadir)/doc/outpost/docs
	install -d $(DESTDIR)$(datadir)/doc/outpost/docs/published $(DESTDIR)$(datadir)/doc/outpost/datalists
	install -m 644 docs/published/*.csv $(DESTDIR)$(datadir)/doc/outpost/docs/published
	install -m 644 datalists/*.yaml $(DESTDIR)$(datadir)/doc/outpost/datalists
	install -d $(DESTDIR)$(datadir)/doc/outpost/examples/slurm
	install -m 644 $(wildcard examples/slurm/*) $(DESTDIR)$(datadir)/doc/outpost/examples/slurm
	chmod 755 $(DESTDIR)$(datadir)/doc/outpost/examples/slurm/submit.sh
	install -d $(DESTDIR)$(datadir)/man/man1 $(DESTDIR)$(datadir)/bash-completion/completions
	install -m 644 $(BUILD)/man/*.1 $(DESTDIR)$(datadir)/man/man1
	install -m 644 $(BUILD)/completion/* $(DESTDIR)$(datadir)/bash-completion/completions
	$(if $(PLUGIN),install -d $(DESTDIR)$(libexecdir) && install -m 755 $(PLUGIN) $(DESTDIR)$(libexecdir))
uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(bindir)/outpost-extract $(DESTDIR)$(bindir)/outpost-score
	rm -f $(DESTDIR)$(datadir)/man/man1/outpost-* $(DESTDIR)$(datadir)/bash-completion/completions/outpost-*
	rm -rf $(DESTDIR)$(libexecdir) $(DESTDIR)$(datadir)/doc/outpost

clean: ## remove build/
	rm -rf $(BUILD)

print-config: ## what this build found
	@echo "version      $(VERSION)"; echo "CC           $(CC)"; echo "CFLAGS       $(ALL_CFLAGS)"
	@echo "libraries    $(EXTRACT_LIBS)"; echo "CUDA         $(if $(WITH_CUDA),$(NVCC), SM $(SM),no)"
	@echo "PREFIX       $(PREFIX)"; echo "BUILD        $(BUILD)"

.PHONY: help all deps demo check-gpu bench-gpu gpu-bundle test check check-long check-slurm asan regen fuzz bench pages install uninstall clean print-config FORCE
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
