//! Writes the journal on a thread of its own: decisions wait for no disk and for no reader.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use offramp::clock;

use super::journal::{Journal, Line};
use super::standing::Standing;
use crate::error::{Error, Result};

/// Lines that may wait; beyond, they are lost and counted.
const LINES_MAX: usize = 1024;
/// Longest wait for the file to open, and for the last lines to be written: a pipe that nobody
/// reads would take for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Scribe {
    path: PathBuf,
    lines: Sender<Line>,
    /// Gives why lines were lost, where they were.
    thread: JoinHandle<Option<Error>>,
    standing: Arc<Standing>,
}

impl Scribe {
    /// Goes on with the journal of that name, or begins it.
    ///
    /// # Errors
    /// The file cannot be opened, or not soon; no thread can be started.
    pub(super) fn start(path: &Path, standing: Arc<Standing>) -> Result<Self> {
        let (lines, waiting) = bounded(LINES_MAX);
        let (opened, opening) = bounded(1);
        let (file, lost) = (path.to_owned(), standing.clone());
        let write = move || match Journal::append(&file) {
            Ok(journal) => {
                let _ = opened.send(Ok(()));
                write_all(journal, &waiting, &lost)
            }
            Err(error) => {
                let _ = opened.send(Err(error));
                None
            }
        };
        let thread = Builder::new().name("offramp-journal".to_owned()).spawn(write);
        let thread = thread.map_err(|error| failed(path, format!("no thread: {error}")))?;
        let late =
            |_| failed(path, "cannot be opened in 2 s: a pipe that nobody reads?".to_owned());
        opening.recv_timeout(PATIENCE).map_err(late)??;
        Ok(Self { path: path.to_owned(), lines, thread, standing })
    }

    /// Hands a line over.
    pub(super) fn write(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.standing.lose_line();
        }
    }

    /// Waits for the last line, though not for long; why lines were lost, where they were.
    pub(super) fn end(self) -> Option<Error> {
        let Self { path, lines, thread, standing } = self;
        drop(lines);
        let until = clock::now() + PATIENCE;
        while !thread.is_finished() {
            if clock::now() > until {
                return Some(failed(&path, "takes no more lines: some are lost".to_owned()));
            }
            sleep(LOOK);
        }
        let failure = thread.join().unwrap_or(None);
        let lost = standing.journal_lines_lost();
        let told = || failed(&path, format!("{lost} decisions are lost: it took too few in time"));
        failure.or_else(|| (lost > 0).then(told))
    }
}

/// A line that cannot be written is lost; the next is tried.
fn write_all(mut journal: Journal, lines: &Receiver<Line>, standing: &Standing) -> Option<Error> {
    let mut failure = None;
    for line in lines {
        if let Err(error) = journal.add(&line) {
            standing.lose_line();
            failure = Some(error);
        }
    }
    failure
}

fn failed(path: &Path, message: String) -> Error {
    Error::Journal { file: path.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Goal;

    fn line(text: &str) -> Line {
        Line::of(&text)
    }

    fn standing() -> Arc<Standing> {
        Arc::new(Standing::new(Goal::default()).0)
    }

    #[test]
    fn lines_are_written_whole_behind_what_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0\n").unwrap();
        let scribe = Scribe::start(file.path(), standing()).unwrap();
        scribe.write(line("a"));
        scribe.write(line("b"));
        assert!(scribe.end().is_none());
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "0\n\"a\"\n\"b\"\n");
    }

    #[test]
    fn a_missing_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let begun = folder.path().join("begun/deep/journal.jsonl");
        Journal::create(&begun).unwrap().add(&line("a")).unwrap();
        let path = folder.path().join("new/deep/journal.jsonl");
        let scribe = Scribe::start(&path, standing()).unwrap();
        scribe.write(line("a"));
        assert!(scribe.end().is_none());
        for path in [begun, path] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "\"a\"\n");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_costs_lines_and_nothing_else() {
        let standing = standing();
        let scribe = Scribe::start(Path::new("/dev/full"), standing.clone()).unwrap();
        (0..3).for_each(|_| scribe.write(line("lost")));
        let failure = scribe.end().unwrap().to_string();
        assert!(failure.starts_with("/dev/full: No space left on device"), "{failure}");
        assert_eq!(standing.journal_lines_lost(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_nobody_reads_is_refused_and_one_that_is_stuck_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let refused = Scribe::start(&pipe, standing()).unwrap_err().to_string();
        assert!(refused.contains("nobody reads"), "{refused}");
        let standing = standing();
        let _reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let scribe = Scribe::start(&pipe, standing.clone()).unwrap();
        (0..4 * LINES_MAX).for_each(|_| scribe.write(line(&"x".repeat(100))));
        assert!(standing.journal_lines_lost() > 0);
        assert!(scribe.end().unwrap().to_string().contains("takes no more lines"));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for path in [folder.path().to_owned(), folder.path().join("file/journal.jsonl")] {
            let refused = Scribe::start(&path, standing()).unwrap_err().to_string();
            assert!(refused.starts_with(&path.display().to_string()), "{refused}");
        }
    }
}
