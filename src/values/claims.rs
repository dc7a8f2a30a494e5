//! Claims of a token (RFC 7519 section 4): how a configuration names one, and which values it requires.

use serde_json::{Map, Value};

/// A claim that a token must have. The token passes if the claim equals one of the allowed values, is an array
/// that contains one of them, or is a string in which one of them is a space-separated word.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The name of the claim, or a JSON pointer to a nested one.
    pub claim: String,
    /// The allowed values, at least one: strings, whole numbers or booleans.
    pub allowed: Vec<Value>,
}

impl Requirement {
    /// Whether `claim`, the value of the claim, is one of the allowed values.
    pub(crate) fn is_met_by(&self, claim: &Value) -> bool {
        self.allowed.iter().any(|allowed| says(claim, allowed))
    }
}

/// Whether a claim equals `allowed`, is a list that contains it, or contains it as a word.
pub(crate) fn says(value: &Value, allowed: &Value) -> bool {
    match (value, allowed) {
        (value, allowed) if value == allowed => true,
        (Value::Array(list), allowed) => list.contains(allowed),
        (Value::String(text), Value::String(word)) => {
            text.split(' ').any(|one| !one.is_empty() && one == word)
        }
        _ => false,
    }
}

/// The claim at `path`: a name such as `"scope"`, or a JSON pointer (RFC 6901) to a nested claim, such as
/// `"/realm_access/roles"`. A claim with a name that begins with `/` also needs a pointer (`"/~1name"`).
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
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
