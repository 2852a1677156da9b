//! From NVRTC's text to the file that is checked in: no trace of a machine, and a version that
//! older drivers load.

/// PTX ISA version that drivers from R525 on load. ptxas rejects a version too low for what a
/// kernel uses.
const VERSION: &str = "8.0";

/// NVRTC's text under a heading of ours.
pub(super) fn polish(raw: &str, heading: &str) -> Result<String, String> {
    let body = raw.lines().skip_while(|line| line.starts_with("//") || line.trim().is_empty());
    let mut text = format!("{heading}\n");
    let mut versions = 0;
    for line in body {
        let line = line.trim_end();
        if line.starts_with(".version ") {
            versions += 1;
            text += &format!(".version {VERSION}");
        } else if line.trim_start().starts_with(".file") {
            text += &without_folders(line);
        } else {
            text += line;
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    if versions != 1 {
        return Err(format!("expected one .version line, found {versions}"));
    }
    Ok(text)
}

/// `.file 1 "/somewhere/norm.cuh"` to `.file 1 "norm.cuh"`, and without the size and time of the
/// file that may follow.
fn without_folders(line: &str) -> String {
    let mut parts = line.splitn(3, '"');
    let (Some(start), Some(path)) = (parts.next(), parts.next()) else { return line.to_owned() };
    let name = path.rsplit('/').next().unwrap_or(path);
    format!("{start}\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_folders_and_versions_are_replaced() -> Result<(), String> {
        let raw = "//\n// Build 1\n//\n\n.version 8.5\n.target sm_80\n\tret; \n\
                   \t.file\t1 \"/home/a/norm.cuh\", 17, 99\n\t.file\t2 \"b.cu\"\n\n\n";
        let expected = "// ours\n.version 8.0\n.target sm_80\n\tret;\n\
                        \t.file\t1 \"norm.cuh\"\n\t.file\t2 \"b.cu\"\n";
        assert_eq!(polish(raw, "// ours")?, expected);
        Ok(())
    }

    #[test]
    fn text_without_a_version_is_refused() {
        assert!(polish("// only a comment\n", "// ours").is_err());
    }
}
