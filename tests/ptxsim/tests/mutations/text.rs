//! The text of a kernel that ships, line by line with the CUDA it was made from.

use std::fs;
use std::path::{Path, PathBuf};

use offramp_ptxsim::Module;

use crate::world::Elem;

/// A line of PTX.
#[derive(Clone)]
struct Line {
    text: String,
    /// The line of CUDA its `.loc` names; empty where there is none.
    source: String,
}

/// One kernel, cut out of its module.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) kernel: &'static str,
    lines: Vec<Line>,
    /// Before the first kernel, and the names of the source files.
    around: [String; 2],
}

/// Which instructions: those that begin with `op` and were made from a line that holds `from`.
/// A `*` in `op` stands for what lies between a beginning and an end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) op: &'static str,
    pub(crate) from: &'static str,
}

/// What is done to them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// The instruction goes.
    Remove,
    /// One piece of its text becomes another.
    Swap(&'static str, &'static str),
    /// It comes last, where a thread ends.
    Delay,
}

impl Text {
    /// Kernel `kernel` of `kernels/ptx/<file>.<elem>.sm_90a.ptx`: but for the wait for other
    /// kernels it is the one for older GPUs.
    pub(crate) fn read(file: &str, elem: Elem, kernel: &'static str) -> Self {
        let path = kernels().join(format!("ptx/{file}.{}.sm_90a.ptx", elem.name()));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let begin = text.find(&format!(".visible .entry {kernel}(")).expect("the kernel");
        let body = &text[begin..];
        let body = &body[..body.find("\n}").expect("its end") + 3];
        let head = text[..text.find(".visible .entry").expect("a kernel")].to_owned();
        let names: Vec<&str> =
            text.lines().filter(|line| line.trim().starts_with(".file")).collect();
        let lines = located(body, &sources(&names));
        Self { kernel, lines, around: [head, names.join("\n")] }
    }

    /// The lines of a site.
    pub(crate) fn find(&self, site: Site) -> Vec<usize> {
        let (begin, end) = site.op.split_once('*').unwrap_or((site.op, ""));
        let fits = |line: &Line| {
            let text = instruction(&line.text);
            text.starts_with(begin) && text.ends_with(end) && line.source.contains(site.from)
        };
        (0..self.lines.len()).filter(|&at| fits(&self.lines[at])).collect()
    }

    /// The kernel with `change` at these lines; fails where one of them cannot be changed so.
    pub(crate) fn changed(&self, lines: &[usize], change: Change) -> Self {
        let mut new = self.clone();
        for &at in lines {
            let text = &mut new.lines[at].text;
            let after = match change {
                Change::Remove | Change::Delay => String::new(),
                Change::Swap(from, to) => text.replacen(from, to, 1),
            };
            assert_ne!(*text, after, "{}: {change:?} does nothing to `{text}`", self.kernel);
            let before = std::mem::replace(text, after);
            if let Change::Delay = change {
                new.put_last(&before);
            }
        }
        new
    }

    /// Adds an instruction wherever a thread ends.
    fn put_last(&mut self, text: &str) {
        let ends = self.lines.iter_mut().filter(|line| line.text.trim() == "ret;");
        ends.for_each(|line| line.text = format!("{text}\nret;"));
    }

    /// A line as faults and lists show it.
    pub(crate) fn show(&self, at: usize) -> String {
        let Line { text, source } = &self.lines[at];
        format!("`{}` of `{source}`", text.trim())
    }

    pub(crate) fn module(&self) -> Module {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text.as_str()).collect();
        let text = [&self.around[0], &*lines.join("\n"), &self.around[1], ""].join("\n");
        Module::parse(self.kernel, &text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The instruction of a line, without its guard.
fn instruction(line: &str) -> &str {
    let line = line.trim();
    match line.strip_prefix('@') {
        Some(guarded) => guarded.split_once(' ').map_or(guarded, |parts| parts.1),
        None => line,
    }
}

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels")
}

/// The source files by their number.
fn sources(names: &[&str]) -> Vec<Vec<String>> {
    let mut files = vec![Vec::new(); names.len() + 1];
    for name in names {
        let mut parts = name.split_whitespace().skip(1);
        let number: usize = parts.next().and_then(|n| n.parse().ok()).expect("a number");
        let name = parts.next().expect("a name").trim_matches('"');
        let path = below(&kernels().join("src"), name).expect("a source");
        let text = fs::read_to_string(path).expect("text");
        files[number] = text.lines().map(|line| line.trim().to_owned()).collect();
    }
    files
}

/// The file of this name somewhere below `folder`.
fn below(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it").path());
    entries.find_map(|path| match path.is_dir() {
        true => below(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}

fn located(body: &str, sources: &[Vec<String>]) -> Vec<Line> {
    let mut source = "";
    body.lines()
        .map(|text| {
            let mut words = text.split_whitespace();
            if words.next() == Some(".loc") {
                let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
                let (file, line) = (number().expect("a file"), number().expect("a line"));
                source = line.checked_sub(1).map_or("", |line| &sources[file][line]);
            }
            Line { text: text.to_owned(), source: source.to_owned() }
        })
        .collect()
}
