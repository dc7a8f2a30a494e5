//! Finds a claim by its name, or by a JSON pointer (RFC 6901) to a nested claim, which begins with
//! `/`.

use serde_json::{Map, Value};

/// The claim at `path`: `"scope"`, or `"/realm_access/roles"`. A claim with a name that begins with
/// `/` also needs a pointer (`"/~1name"`).
pub(super) fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let Some(pointer) = path.strip_prefix('/') else {
        return claims.get(path);
    };
    let end = pointer.find('/').unwrap_or(pointer.len());
    let (first, rest) = pointer.split_at(end);
    claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::find;

    #[test]
    fn a_name_is_a_name_and_a_pointer_leads_inside() {
        let claims = json!({
            "a": {"b": {"c": 1}, "l": [{"x": 2}], "b.c": 3, "m~n": 4},
            "a.b": 5,
            "https://a.example/roles": 6,
            "/odd": 7,
            "n": null,
        });
        let claims = claims.as_object().unwrap();
        for (path, found) in [
            ("/a/b/c", json!(1)),
            ("/a/l/0/x", json!(2)),
            ("/a/b.c", json!(3)),
            ("/a/m~0n", json!(4)),
            ("a.b", json!(5)),
            ("https://a.example/roles", json!(6)),
            ("/https:~1~1a.example~1roles", json!(6)),
            ("/~1odd", json!(7)),
            ("/n", Value::Null),
        ] {
            assert_eq!(find(claims, path), Some(&found), "{path}");
        }
        for path in
            ["/a/b/d", "/a/l/1/x", "/a/l/x", "/a/b/c/d", "/b", "a/b", "a.b.c", "/odd", "/n/x"]
        {
            assert_eq!(find(claims, path), None, "{path}");
        }
    }
}
