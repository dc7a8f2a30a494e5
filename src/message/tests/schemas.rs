//! The official JSON-Schema-Test-Suite and published lists of e-mail addresses against our schemas.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::message::Schema;

/// Where the suite expects schemas that others refer to.
const REMOTE: &str = "http://localhost:1234/draft2020-12/";

/// Schemas that are refused when the configuration is loaded: the file of the suite, a part of the schema, and of the error.
const REFUSED: &[(&str, &str, &str)] = &[
    // Formats of names beyond ASCII are not checked, so that they must not seem to be.
    ("format", "idn-email", "Unknown format"),
    ("format", "idn-hostname", "Unknown format"),
    ("optional/format/idn-email", "idn-email", "Unknown format"),
    ("optional/format/idn-hostname", "idn-hostname", "Unknown format"),
    ("optional/format/unknown", "unknown", "Unknown format"),
    // A `$schema` of one's own.
    ("optional/format-assertion", "format-assertion-false.json", "Unknown meta-schema"),
    ("optional/format-assertion", "format-assertion-true.json", "Unknown meta-schema"),
    ("vocabulary", "metaschema-no-validation.json", "Unknown meta-schema"),
    ("vocabulary", "metaschema-optional-vocabulary.json", "Unknown meta-schema"),
    // The suite keeps it in another folder than this draft's.
    ("optional/cross-draft", "draft2019-09/ignore-prefixItems.json", "nothing is fetched"),
];

/// Values that the suite calls valid and we refuse. In `format` it takes formats for annotations; we assert them.
const STRICTER: &[(&str, &str)] = &[
    ("format", "\"-a-host-name-that-starts-with--\""),
    ("format", "\"/foo/bar\""),
    ("format", "\"/foo/bar~\""),
    ("format", "\"//foo.bar/?baz=qux#quux\""),
    ("format", "\"06/19/1963\""),
    ("format", "\"08:30:06 PST\""),
    ("format", "\"12345::\""),
    ("format", "\"127.0.0.0.1\""),
    ("format", "\"1990-02-31T15:59:60.123-08:00\""),
    ("format", "\"2962\""),
    ("format", "\"2eb8aa08-aa98-11ea-b4aa-73b441d1638\""),
    ("format", "\"PT1D\""),
    ("format", "\"\\\\\\\\WINDOWS\\\\fileshare\""),
    ("format", "\"\\\\\\\\WINDOWS\\\\filëßåré\""),
    ("format", "\"^(abc]\""),
    ("format", "\"http://2001:0db8:85a3:0000:0000:8a2e:0370:7334\""),
    ("format", "\"http://example.com/dictionary/{term:1}/{term\""),
];

fn list(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/suites").join(name);
    fs::read_to_string(path).unwrap()
}

fn lines_of_json(name: &str) -> Vec<Value> {
    list(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder with the schemas that others refer to, and a file name in it.
fn folder_of_remotes() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for remote in lines_of_json("remotes.jsonl") {
        let path = folder.path().join(remote[0].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, local(&remote[1], folder.path())).unwrap();
    }
    folder
}

/// The schema with references to files of `folder` instead of the network.
fn local(schema: &Value, folder: &Path) -> String {
    let uri = format!("file://{}/", folder.canonicalize().unwrap().display());
    schema.to_string().replace(REMOTE, &uri)
}

#[test]
fn the_json_schema_test_suite_agrees_but_for_what_is_listed() {
    let folder = folder_of_remotes();
    let file = folder.path().join("case.json");
    let (mut values, mut refused, mut differences) = (0, 0, BTreeSet::new());
    for case in lines_of_json("schemas.jsonl") {
        let name = case[0].as_str().unwrap();
        let text = case[1].to_string();
        if let Some((_, _, error)) =
            REFUSED.iter().find(|(of, part, _)| *of == name && text.contains(part))
        {
            let actual = Schema::compile(&file, text.as_bytes()).unwrap_err().to_string();
            assert!(actual.contains(error), "{name}: {text}: {actual}");
            refused += 1;
            continue;
        }
        let schema = Schema::compile(&file, local(&case[1], folder.path()).as_bytes());
        let schema = schema.unwrap_or_else(|error| panic!("{name}: {text}: {error}"));
        for (column, valid) in [(2, true), (3, false)] {
            for value in case[column].as_array().unwrap() {
                values += 1;
                if schema.judge(value).is_ok() != valid {
                    assert!(valid, "{name}: {text} lets through {value}");
                    differences.insert((name.to_owned(), value.to_string()));
                }
            }
        }
    }
    let listed = STRICTER.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    assert_eq!(differences, listed.collect());
    assert_eq!((values, refused), (2086, 11));
}

#[test]
fn no_schema_of_the_suite_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.json");
    let mut remote = 0;
    for case in lines_of_json("schemas.jsonl") {
        if let Err(error) = Schema::compile(&file, case[1].to_string().as_bytes()) {
            let error = error.to_string();
            remote += usize::from(error.contains("nothing is fetched"));
            assert!(error.contains("fetched") || error.contains("Unknown"), "{error}");
        }
    }
    assert_eq!(remote, 21);
}

/// Addresses of the article on e-mail addresses of the English Wikipedia.
const ENCYCLOPEDIA: [(bool, &[&str]); 2] = [
    (
        true,
        &[
            "simple@example.com",
            "very.common@example.com",
            "FirstName.LastName@EasierReading.org",
            "x@example.com",
            "long.email-address-with-hyphens@and.subdomains.example.com",
            "user.name+tag+sorting@example.com",
            "name/surname@example.com",
            "admin@example",
            "example@s.example",
            "\" \"@example.org",
            "\"john..doe\"@example.org",
            "mailhost!username@example.org",
            "\"very.(),:;<>[]\\\".VERY.\\\"very@\\\\ \\\"very\\\".unusual\"@strange.example.com",
            "user%example.com@example.org",
            "user-@example.org",
            "postmaster@[123.123.123.123]",
            "postmaster@[IPv6:2001:0db8:85a3:0000:0000:8a2e:0370:7334]",
            "_test@[IPv6:2001:0db8:85a3:0000:0000:8a2e:0370:7334]",
        ],
    ),
    (
        false,
        &[
            "abc.example.com",
            "a@b@c@example.com",
            "a\"b(c)d,e:f;g<h>i[j\\k]l@example.com",
            "just\"not\"right@example.com",
            "this is\"not\\allowed@example.com",
            "this\\ still\\\"not\\\\allowed@example.com",
            "1234567890123456789012345678901234567890123456789012345678901234+x@example.com",
            "i.like.underscores@but_they_are_not_allowed_in_this_part",
        ],
    ),
];

#[test]
fn email_is_a_mailbox_of_rfc_5321() {
    let schema = Schema::compile(Path::new("x.json"), br#"{"format":"email"}"#).unwrap();
    let judged = |address: &str| schema.judge(&json!(address)).is_ok();
    for (valid, addresses) in ENCYCLOPEDIA {
        for address in addresses {
            assert_eq!(judged(address), valid, "{address}");
        }
    }
    let mut stricter = Vec::new();
    for line in list("addresses.txt").lines() {
        let (verdict, address) = line.split_once(' ').unwrap();
        let address: String = serde_json::from_str(address).unwrap();
        match (verdict, judged(&address)) {
            ("valid", true) | ("invalid", false) => {}
            ("valid", false) => stricter.push(address),
            _ => panic!("{line} passes"),
        }
    }
    assert_eq!(stricter, ["\"test\\ test\"@iana.org"], "an escaped space");
}
