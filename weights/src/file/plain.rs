//! Names of tensors without what wrappers put into them.

use std::borrow::Cow;

/// What wrappers put before every name, once or in each other.
const BEFORE: [&str; 6] =
    ["module.", "model.", "backbone.", "net.", "timm_model.", "_forward_module."];
/// What compiled, sharded and checkpointed modules put at any place.
const WITHIN: [&str; 3] = ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."];

/// `name` without the names of wrappers: `bert.pooler.dense.bias` of
/// `module._orig_mod.bert.pooler.dense.bias`.
pub(crate) fn plain(name: &str) -> Cow<'_, str> {
    let mut plain = Cow::Borrowed(name);
    for wrapper in WITHIN.iter().filter(|wrapper| name.contains(*wrapper)) {
        plain = without(&plain, wrapper).into();
    }
    let mut start = 0;
    while let Some(wrapper) = BEFORE.iter().find(|wrapper| plain[start..].starts_with(*wrapper)) {
        start += wrapper.len();
    }
    match (plain, start) {
        (plain, 0) => plain,
        (Cow::Borrowed(name), start) => Cow::Borrowed(&name[start..]),
        (Cow::Owned(name), start) => Cow::Owned(name[start..].to_owned()),
    }
}

/// `name` without the parts that are `part`, which ends with a point.
fn without(name: &str, part: &str) -> String {
    let mut rest = name;
    let mut kept = String::with_capacity(name.len());
    while let Some(at) = rest.find(part) {
        kept.push_str(&rest[..at]);
        let is_whole = kept.is_empty() || kept.ends_with('.');
        if !is_whole {
            kept.push_str(part);
        }
        rest = &rest[at + part.len()..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_off() {
        let cases = [
            ("bert.pooler.dense.bias", "bert.pooler.dense.bias"),
            ("module.bert.x", "bert.x"),
            ("module._orig_mod.bert.x", "bert.x"),
            ("_orig_mod.module.model.x", "x"),
            ("timm_model.layer1.0.x", "layer1.0.x"),
            (
                "bert.encoder._orig_mod.layer.0._checkpoint_wrapped_module.x",
                "bert.encoder.layer.0.x",
            ),
            ("_fsdp_wrapped_module.bert._fsdp_wrapped_module.x", "bert.x"),
            ("a_orig_mod.x", "a_orig_mod.x"),
            ("bert.model.x", "bert.model.x"),
            ("models.x", "models.x"),
            ("net.", ""),
            ("", ""),
        ];
        for (name, expected) in cases {
            assert_eq!(plain(name), expected);
            assert_eq!(plain(expected), expected);
        }
    }
}
