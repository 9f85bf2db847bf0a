#!/usr/bin/env python3
"""Reads a driftcheck baseline, knowing nothing but docs/baseline-format.md.

Usage: reader.py FILE

Prints `ENTRIES DIGEST` of a sound baseline. Anything else is refused with its place and reason, and exit code 65.
Needs the `zstd` command for decompression; exit code 77 if it is not there.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile

LINE_LIMIT = 4 << 20
ENVELOPES_LIMIT = 1 << 20
ENVELOPES_MOST = 64
ENVELOPES_MAGIC = b"\x5d\x2a\x4d\x18"
WINDOW_LIMIT = 8 << 20
DEPTH = 16
SECTION = re.compile(r"[a-z0-9-]+\Z")
NUMBER = re.compile(rb"-?[0-9]+")
ESCAPED = re.compile(r"\\x([0-9a-f]{2})")

# Characters that are always escaped: section "Text".
NOT_PLAIN = [
    (0x0000, 0x001F), (0x005C, 0x005C), (0x007F, 0x009F), (0x00AD, 0x00AD), (0x061C, 0x061C),
    (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFB), (0xE0000, 0xE0FFF),
]


class Refused(Exception):
    """Why a file is not taken as a baseline."""


# Text ---------------------------------------------------------------------------------------------------------


def spell(data):
    """The one spelling of bytes."""
    text = []
    # An invalid byte B becomes the character U+DC00 + B, which is nothing that valid UTF-8 can hold.
    for character in data.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            text.append(f"\\x{code - 0xDC00:02x}")
        elif any(low <= code <= high for low, high in NOT_PLAIN):
            text.extend(f"\\x{byte:02x}" for byte in character.encode())
        else:
            text.append(character)
    return "".join(text)


def unspell(text):
    """The bytes behind a spelling; refuses a second spelling."""
    data = bytearray()
    at = 0
    while at < len(text):
        escaped = ESCAPED.match(text, at)
        if escaped:
            data.append(int(escaped[1], 16))
            at = escaped.end()
        else:
            data += text[at].encode()
            at += 1
    data = bytes(data)
    if spell(data) != text:
        raise Refused("text is not in its one spelling")
    return data


# Lines --------------------------------------------------------------------------------------------------------


class Scan:
    """One entry's line, from left to right."""

    def __init__(self, line):
        self.line = line
        self.at = 0

    def peek(self):
        return self.line[self.at : self.at + 1]

    def expect(self, wanted):
        if not self.line.startswith(wanted, self.at):
            raise Refused(f"byte {self.at}: `{wanted.decode()}` expected")
        self.at += len(wanted)

    def text(self):
        """A string: its spelled text, and its bytes."""
        self.expect(b'"')
        start = self.at
        raw = bytearray()
        while self.peek() != b'"':
            if self.peek() == b"":
                raise Refused(f"byte {start}: text without an end")
            if self.peek() == b"\\":
                self.at += 1
                if self.peek() not in (b'"', b"\\"):
                    raise Refused(f"byte {self.at}: unknown escape")
            raw += self.peek()
            self.at += 1
        self.at += 1
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Refused(f"byte {start}: invalid UTF-8") from None
        try:
            return text, unspell(text)
        except Refused as why:
            raise Refused(f"byte {start}: {why}") from None

    def value(self, depth):
        first = self.peek()
        if first == b'"':
            self.text()
        elif first in (b"t", b"f", b"n"):
            self.expect({b"t": b"true", b"f": b"false", b"n": b"null"}[first])
        elif first == b"[":
            self.array(depth + 1)
        elif first == b"{":
            self.object(depth + 1)
        else:
            self.number()

    def number(self):
        found = NUMBER.match(self.line, self.at)
        if not found:
            raise Refused(f"byte {self.at}: no value")
        # More digits than that cannot fit, and Python refuses to convert thousands of them.
        if len(found[0]) > 20:
            raise Refused(f"byte {self.at}: number does not fit into 64 bits")
        number = int(found[0])
        if str(number).encode() != found[0] or not -(1 << 63) <= number < 1 << 63:
            raise Refused(f"byte {self.at}: number is not in its one spelling, or does not fit into 64 bits")
        self.at = found.end()

    def array(self, depth):
        if depth > DEPTH:
            raise Refused(f"byte {self.at}: nested too deep")
        self.expect(b"[")
        if self.peek() != b"]":
            self.value(depth)
            while self.peek() == b",":
                self.at += 1
                self.value(depth)
        self.expect(b"]")

    def object(self, depth):
        if depth > DEPTH:
            raise Refused(f"byte {self.at}: nested too deep")
        self.expect(b"{")
        last = None
        while self.peek() != b"}":
            if last is not None:
                self.expect(b",")
            name = self.text()[0].encode()
            if last is not None and name <= last:
                raise Refused(f"byte {self.at}: names are out of order")
            last = name
            self.expect(b":")
            self.value(depth)
        self.expect(b"}")

    def entry(self):
        """Section and key of the line, which is checked to its end."""
        self.expect(b"[")
        section = self.text()[0]
        if not SECTION.match(section):
            raise Refused(f"byte 2: `{section}` cannot be a section")
        self.expect(b",")
        key = self.text()[1]
        self.expect(b",")
        self.object(0)
        self.expect(b"]")
        if self.at != len(self.line):
            raise Refused(f"byte {self.at}: text after the entry")
        return section, key


def place(key):
    """What two keys of one section are ordered by."""
    return key.split(b"/")


# Container ----------------------------------------------------------------------------------------------------


def check_frame(file):
    """Checks that a file is one zstd frame with a small enough window (RFC 8878), and signatures or nothing."""

    def take(length):
        data = file.read(length)
        if len(data) != length:
            raise Refused("the compressed data is cut")
        return data

    if file.read(4) != b"\x28\xb5\x2f\xfd":
        raise Refused("not a driftcheck baseline: not a zstd file")
    descriptor = take(1)[0]
    single = descriptor >> 5 & 1
    if descriptor & 8:
        raise Refused("the zstd frame uses a reserved bit")
    window = 0
    if not single:
        byte = take(1)[0]
        base = 1 << (10 + (byte >> 3))
        window = base + base // 8 * (byte & 7)
    if int.from_bytes(take((0, 1, 2, 4)[descriptor & 3]), "little"):
        raise Refused("the zstd frame needs a dictionary")
    size_length = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    size = int.from_bytes(take(size_length), "little") + (256 if size_length == 2 else 0)
    if (size if single else window) > WINDOW_LIMIT:
        raise Refused("the zstd frame needs a window of more than 8 MiB")
    last = False
    while not last:
        header = int.from_bytes(take(3), "little")
        last = bool(header & 1)
        kind = header >> 1 & 3
        if kind == 3:
            raise Refused("the zstd frame has a reserved block type")
        # A block of type 1 is one byte that is repeated.
        take(1 if kind == 1 else header >> 3)
    if descriptor & 4:
        take(4)
    behind = file.read(8)
    if not behind:
        return
    if len(behind) < 8 or not behind.startswith(ENVELOPES_MAGIC):
        raise Refused("something follows the zstd frame")
    length = int.from_bytes(behind[4:], "little")
    if length > ENVELOPES_LIMIT:
        raise Refused(f"the signatures are longer than {ENVELOPES_LIMIT} bytes")
    check_envelopes(take(length))
    if file.read(1):
        raise Refused("something follows the signatures")


def check_envelopes(content):
    """Checks that signatures are DSSE envelopes, one a line."""
    try:
        lines = content.decode().removesuffix("\n").split("\n")
        signatures = 0
        for line in lines:
            envelope = json.loads(line, object_pairs_hook=no_doubles)
            if type(envelope) is not dict:
                raise Refused("an envelope is not an object")
            texts = [envelope["payload"], envelope["payloadType"]]
            for signature in envelope["signatures"]:
                texts += [signature["sig"], signature.get("keyid") or ""]
                signatures += 1
            if not envelope["signatures"]:
                raise Refused("an envelope has no signature")
            if not all(type(text) is str for text in texts):
                raise Refused("a member of an envelope is not a text")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as why:
        raise Refused(f"an envelope cannot be understood: {why}") from None
    if max(len(lines), signatures) > ENVELOPES_MOST:
        raise Refused(f"more than {ENVELOPES_MOST} envelopes or signatures")


def lines_of(file):
    """Decompresses a checked frame line by line; a cut or damaged one ends with an error."""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            ["zstd", "-dc", "--memory=8MB"], stdin=file, stdout=subprocess.PIPE, stderr=complaints
        )
        try:
            while line := process.stdout.readline(LINE_LIMIT + 1):
                if not line.endswith(b"\n"):
                    if len(line) > LINE_LIMIT:
                        raise Refused(f"longer than {LINE_LIMIT} bytes")
                    break
                yield line[:-1]
        finally:
            process.stdout.close()
            failed = process.wait()
        if failed:
            complaints.seek(0)
            why = complaints.read().decode(errors="replace").strip().splitlines()
            raise Refused(f"the compressed data is broken: {why[-1] if why else failed}")
        if line:
            raise Refused("cut in the middle of a line")


# Baseline -----------------------------------------------------------------------------------------------------


def no_doubles(members):
    """Builds an object; refuses one that has a name twice, which two readers may understand differently."""
    found = dict(members)
    if len(found) != len(members):
        raise Refused("an object has a name twice")
    return found


def read_header(line):
    """The names of a header's sections."""
    if not line.startswith(b'{"driftcheck-baseline":'):
        raise Refused("not a driftcheck baseline: the first line is not a header")
    try:
        header = json.loads(line.decode(), object_pairs_hook=no_doubles)
    except (ValueError, RecursionError) as why:
        raise Refused(f"the header cannot be understood: {why}") from None
    version = header["driftcheck-baseline"]
    if version != 1 or type(version) is not int:
        raise Refused(f"format version {version} is not known")
    try:
        names = [section["name"] for section in header["sections"]]
        for section in header["sections"]:
            if type(section["revision"]) is not int or not 0 <= section["revision"] < 1 << 32:
                raise Refused("a section's revision is not a number")
        header["image"]["source-kind"].encode()
        for exclusion in header["scope"].get("exclude", []):
            if exclusion["what"] not in ("all", "ordinary"):
                raise Refused("an exclusion reaches neither all nor the ordinary")
    except (KeyError, TypeError, AttributeError) as why:
        raise Refused(f"the header lacks something: {why}") from None
    if not all(type(name) is str and SECTION.match(name) for name in names):
        raise Refused("a section's name has a character that it cannot have")
    if any(left >= right for left, right in zip(names, names[1:])):
        raise Refused("the header's sections are not sorted")
    return names


class Sums:
    """Counts and digests, and with them the trailer that a baseline must have."""

    def __init__(self, header, names):
        self.header = header
        self.sums = {name: [0, hashlib.sha256()] for name in names}

    def add(self, section, line):
        self.sums[section][0] += 1
        self.sums[section][1].update(line + b"\n")

    def end(self):
        """Number of entries, digest over everything, trailer line."""
        whole = hashlib.sha256(self.header + b"\n")
        sections = []
        for name, (count, digest) in self.sums.items():
            label = f"sha256:{digest.hexdigest()}"
            whole.update(f"{name} {count} {label}\n".encode())
            sections.append(f'{{"name":"{name}","entries":{count},"digest":"{label}"}}')
        entries = sum(count for count, _ in self.sums.values())
        digest = f"sha256:{whole.hexdigest()}"
        line = f'{{"end":{{"sections":[{",".join(sections)}],"entries":{entries},"digest":"{digest}"}}}}'
        return entries, digest, line.encode()


def read(lines):
    """Checks the lines of a baseline; returns the number of entries and the digest over everything."""
    number = 0
    names = sums = end = None
    last = ("", [])
    try:
        for number, line in enumerate(lines, 1):
            if end:
                raise Refused("something follows the trailer")
            if number == 1:
                names = read_header(line)
                sums = Sums(line, names)
            elif line.startswith(b"{"):
                end = sums.end()
                if line != end[2]:
                    raise Refused("the trailer's counts and digests are not those of the entries")
            else:
                section, key = Scan(line).entry()
                if section not in names:
                    raise Refused(f"section `{section}` is not in the header")
                now = (section, place(key))
                if number > 2 and now <= last:
                    raise Refused("entries are out of order")
                last = now
                sums.add(section, line)
    except Refused as why:
        raise Refused(f"line {number or 1}: {why}") from None
    if not end:
        raise Refused(f"cut: it ends after line {number}, before its trailer")
    return end[0], end[1]


def main():
    if shutil.which("zstd") is None:
        print("the zstd command is missing", file=sys.stderr)
        return 77
    name = sys.argv[1]
    try:
        with open(name, "rb") as file:
            check_frame(file)
        with open(name, "rb") as file:
            entries, digest = read(lines_of(file))
    except Refused as why:
        print(f"{name}: {why}", file=sys.stderr)
        return 65
    print(entries, digest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
