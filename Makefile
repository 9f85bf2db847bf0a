# `make test` is all that a change must pass; CI runs the same. `make bench` measures, and takes its time.

CARGO ?= cargo
# The programs that nobody here wrote and that the tests compare with, as Debian packages.
PACKAGES = acl attr btrfs-progs bzip2 cryptsetup-bin db-util debsums dosfstools e2fsprogs eatmydata erofs-utils f2fs-tools \
	fdisk gcc gdisk genisoimage gnupg libarchive-tools libc6-dev libcap2-bin make mmdebstrap mtree-netbsd openssh-client openssl pacman-package-manager perl python3 \
	python3-jsonschema python3-venv qemu-utils rpm shellcheck skopeo squashfs-tools strace sudo tar umoci util-linux \
	util-linux-extra whois xfsprogs xz-utils zstd
# A test that lacks its oracle prints that it was skipped, unless the oracles are required.
export DRIFTCHECK_REQUIRE_ORACLES ?= $(if $(CI),1,)

.PHONY: test setup format lint unit end-to-end bench man clean

test: setup format lint unit end-to-end

setup:
	tests/setup/packages.sh $(PACKAGES)
	tests/setup/roots.sh
	tests/setup/images.sh
	tests/setup/python.sh

format:
	$(CARGO) fmt --all --check
	shellcheck tests/setup/*.sh $(wildcard bench/*.sh)

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	tests/setup/policy.py

unit:
	$(CARGO) build --locked --workspace
	tests/setup/cargo-test.sh --workspace --exclude driftcheck-tests

end-to-end:
	$(CARGO) build --locked --workspace
	tests/setup/cargo-test.sh -p driftcheck-tests

bench:
	bench/run.sh
	bench/run.sh images

man:
	UPDATE_GOLDEN=1 $(CARGO) test --locked -p driftcheck --test man_page

clean:
	$(CARGO) clean
