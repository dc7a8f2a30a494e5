#!/usr/bin/env python3
"""Writes the lists of this folder from checkouts of the suites that README.md names. Not run by the tests: the lists are
small and kept.

    tests/data/suites/make.py JSON-Schema-Test-Suite JSONTestSuite isemail
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def write(name, lines):
    (HERE / name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def without_comments(schema):
    if isinstance(schema, dict):
        return {key: without_comments(part) for key, part in schema.items() if key != "$comment"}
    if isinstance(schema, list):
        return [without_comments(part) for part in schema]
    return schema


def schema_cases(suite):
    """One schema a line, with its file, the values that are valid and those that are not."""
    folder = suite / "tests/draft2020-12"
    for file in sorted(folder.rglob("*.json")):
        name = file.relative_to(folder).with_suffix("").as_posix()
        for case in json.loads(file.read_text()):
            schema = without_comments(case["schema"])
            # The draft of a schema that names none.
            if isinstance(schema, dict) and schema.get("$schema") == DRAFT:
                del schema["$schema"]
            valid = [test["data"] for test in case["tests"] if test["valid"]]
            invalid = [test["data"] for test in case["tests"] if not test["valid"]]
            yield compact([name, schema, valid, invalid])


def remotes(suite):
    """The schemas that others refer to, each with its path."""
    folder = suite / "remotes/draft2020-12"
    for file in sorted(folder.rglob("*.json")):
        path = file.relative_to(folder).as_posix()
        yield compact([path, without_comments(json.loads(file.read_text()))])


def hexadecimal(content):
    """The bytes as `hex*count` parts with + between them: some texts are one part many times."""
    for length in (1, 5):
        part = content[:length]
        count = next((n for n in range(len(content) // length + 1)
                      if content[n * length:(n + 1) * length] != part), 0)
        if count > 1000:
            rest = content[count * length:]
            return f"{part.hex()}*{count}" + (f"+{rest.hex()}" if rest else "")
    return content.hex()


def json_texts(suite):
    """y: every parser accepts it; n: none does; i: some do; t: they accept it and may differ in its value."""
    for folder, kind in (("test_parsing", None), ("test_transform", "t")):
        for file in sorted((suite / folder).glob("*.json")):
            expected, name = (kind, file.stem) if kind else file.stem.split("_", 1)
            yield f"{expected} {name} {hexadecimal(file.read_bytes())}"


def addresses(suite):
    """Valid is what RFC 5321 lets pass as a mailbox; the rest is for headers of messages alone, or wrong."""
    root = ElementTree.parse(suite / "test/tests.xml").getroot()
    for test in root.iter("test"):
        address = test.findtext("address") or ""
        # Control characters are written as their symbols.
        address = re.sub("[\u2400-\u2420]", lambda found: chr(ord(found[0]) - 0x2400), address)
        category = test.findtext("category").removeprefix("ISEMAIL_")
        valid = category in ("VALID_CATEGORY", "DNSWARN", "RFC5321")
        yield f"{'valid' if valid else 'invalid'} {compact(address)}"


def main():
    schema_suite, json_suite, address_suite = map(Path, sys.argv[1:])
    write("schemas.jsonl", schema_cases(schema_suite))
    write("remotes.jsonl", remotes(schema_suite))
    write("json_texts.txt", json_texts(json_suite))
    write("addresses.txt", addresses(address_suite))


main()
