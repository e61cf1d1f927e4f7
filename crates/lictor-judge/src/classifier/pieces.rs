// SPDX-License-Identifier: Apache-2.0
//! An execution as commands of bounded size, and windows over them.

use super::Execution;
use super::lexicon::CONTEXT;
use super::places::path_class;
use super::programs::{SERVERS, SHELLS};
use super::shell::{self, Command, Redirect, Word, program_name};
use super::text::{self, Oddities};

/// More than an argument of 128 KiB can hold, five levels of quotes deep.
const MAX_COMMANDS: usize = 400_000;
/// Commands in a window, and by how many the next window starts later.
pub(crate) const WINDOW: usize = 14;
pub(crate) const STEP: usize = 9;
/// Bytes of text in a window and in a piece of a word; pieces overlap, so that what is cut is whole in one of them.
pub(crate) const WINDOW_BYTES: usize = 6144;
pub(crate) const PIECE_BYTES: usize = 2048;
const PIECE_STEP: usize = 1536;
const PIECE_WORDS: usize = 160;
const PIECE_REDIRECTS: usize = 12;

/// A command, or a part of a very long one.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub command: Command,
    /// What `echo` says, what a here-document holds: text, not a command.
    pub data: String,
    /// Bytes of everything.
    size: usize,
}

impl Piece {
    /// The piece without its word `at`: for explanations.
    pub(crate) fn without_word(&self, at: usize) -> Piece {
        let mut piece = self.clone();
        if at < piece.command.words.len() {
            piece.command.words.remove(at);
        }
        piece
    }

    pub(crate) fn without_redirect(&self, at: usize) -> Piece {
        let mut piece = self.clone();
        if at < piece.command.redirects.len() {
            piece.command.redirects.remove(at);
        }
        piece
    }

    pub(crate) fn without_data(&self) -> Piece {
        let mut piece = self.clone();
        piece.data.clear();
        piece.command.input = None;
        piece
    }
}

/// An execution taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Pieces {
    pub pieces: Vec<Piece>,
    pub odd: Oddities,
    /// Which of [`CONTEXT`] hold.
    pub context: [bool; CONTEXT.len()],
    /// Directory that relative paths start from, where that says more than the path.
    pub directory: Option<String>,
}

/// Takes `execution` apart.
pub(crate) fn pieces(execution: &Execution) -> Pieces {
    let mut odd = Oddities::default();
    let args: Vec<String> = execution.args.iter().map(|arg| text::fold(arg, &mut odd)).collect();
    let commands = match line_of(&args) {
        Some(line) => shell::parse(line, MAX_COMMANDS),
        None => shell::from_args(&args, MAX_COMMANDS),
    };
    let directory = execution.cwd.as_deref().filter(|cwd| {
        !matches!(
            path_class(&format!("{cwd}/")),
            "home" | "tree" | "tmp" | "relative" | "absolute" | "here" | "root" | "bin" | "lib" | "etc"
        )
    });
    Pieces {
        pieces: commands.into_iter().flat_map(cut).collect(),
        odd,
        context: context(execution, &args),
        directory: directory.map(str::to_owned),
    }
}

/// The line of `sh -c LINE`, when that is all the execution is.
fn line_of(args: &[String]) -> Option<&str> {
    let name = program_name(args.first()?);
    if !SHELLS.contains(&name.as_str()) {
        return None;
    }
    let at = args.iter().skip(1).position(|arg| {
        arg.starts_with('-')
            && !arg.starts_with("--")
            && arg.ends_with('c')
            && arg[1..].bytes().all(|byte| byte.is_ascii_alphabetic())
    })? + 1;
    // Options before it would be lost: only the plain forms are taken for their line.
    let plain = at == 1 && matches!(args[1].as_str(), "-c" | "-lc" | "-ec" | "-cl" | "-euc" | "-exc" | "-ic" | "-lic");
    (plain && args.len() >= 3).then(|| args[2].as_str())
}

fn context(execution: &Execution, args: &[String]) -> [bool; CONTEXT.len()] {
    let name = args.first().map(|arg| program_name(arg)).unwrap_or_default();
    let exe = execution.exe.as_deref().unwrap_or("");
    let exe_name = program_name(exe);
    let parent = execution.parent.as_deref().map(program_name).unwrap_or_default();
    let known = |name: &str| {
        SHELLS.contains(&name)
            || matches!(name, "python" | "perl" | "nc" | "ncat" | "socat" | "curl" | "wget" | "busybox")
    };
    [
        SERVERS.contains(&parent.as_str()) && (SHELLS.contains(&exe_name.as_str()) || SHELLS.contains(&name.as_str())),
        // Shells and tools under another name; links such as `sh` for `dash` are ordinary.
        known(&exe_name) && !known(&name) && exe_name != name && exe_name != "busybox" && !name.is_empty(),
        exe.contains("memfd:") || exe.ends_with(" (deleted)"),
        matches!(path_class(exe), "tmphidden" | "shm"),
    ]
}

/// A command as pieces of bounded size.
fn cut(command: Command) -> Vec<Piece> {
    let name = command.words.first().map(|word| program_name(&word.text)).unwrap_or_default();
    let says = matches!(name.as_str(), "echo" | "printf");
    let mut data = String::new();
    let mut command = command;
    if says && command.words.len() > 1 {
        for word in command.words.drain(1..) {
            data.push_str(&word.text);
            data.push(' ');
        }
    }
    if let Some(input) = &command.input
        && !SHELLS.contains(&name.as_str())
    {
        data.push_str(input);
    }
    // What is searched for is text, too, where it names a path; a plain word (`password`) tells what the search is for.
    if matches!(name.as_str(), "grep" | "egrep" | "fgrep" | "rg" | "ag" | "ack")
        && let Some(word) = command.words.iter_mut().skip(1).find(|word| !word.text.starts_with('-'))
        && word.text.contains('/')
        && !word.text.starts_with(['.', '~'])
    {
        data.push_str(&std::mem::take(&mut word.text));
        data.push(' ');
    }
    // A commit's message is text, too.
    if name == "git" {
        let mut follows = false;
        for word in &mut command.words {
            if follows {
                data.push_str(&std::mem::take(&mut word.text));
                data.push(' ');
            }
            follows = matches!(word.text.as_str(), "-m" | "--message" | "-am");
        }
    }
    let size = |words: &[Word]| words.iter().map(|word| word.text.len() + 1).sum::<usize>();
    let targets = command.redirects.iter().map(|redirect| redirect.target.len() + 3).sum::<usize>();
    let small = size(&command.words) + targets <= PIECE_BYTES && data.len() <= PIECE_BYTES;
    if small && command.words.len() <= PIECE_WORDS && command.redirects.len() <= PIECE_REDIRECTS {
        let size = size(&command.words) + data.len() + targets;
        return vec![Piece { command, data, size }];
    }
    // Words that are too long become several; then as many words as fit go into one piece, each with the program.
    let mut words: Vec<Word> = Vec::new();
    let mut all = std::mem::take(&mut command.words).into_iter();
    let program = all.next();
    for word in all {
        words.extend(segments(&word.text).map(|part| Word { text: part.to_owned(), ..word.clone() }));
    }
    let template =
        Command { words: Vec::new(), input: None, redirects: Vec::new(), assignments: Vec::new(), ..command.clone() };
    let mut out = Vec::new();
    let mut piece = command;
    piece.input = None;
    let redirects: Vec<Redirect> = std::mem::take(&mut piece.redirects)
        .into_iter()
        .flat_map(|redirect| {
            let parts: Vec<Redirect> = segments(&redirect.target)
                .map(|part| Redirect { operator: redirect.operator.clone(), target: part.to_owned() })
                .collect();
            parts
        })
        .collect();
    for assignment in std::mem::take(&mut piece.assignments) {
        words.extend(segments(&assignment.text).map(|part| Word { text: part.to_owned(), ..assignment.clone() }));
    }
    let program = program.map(|word| Word { text: segments(&word.text).next_back().unwrap_or("").to_owned(), ..word });
    let mut room = PIECE_BYTES;
    piece.words = program.iter().cloned().collect();
    for word in words {
        if piece.words.len() >= PIECE_WORDS || (word.text.len() > room && piece.words.len() > 1) {
            let full = std::mem::replace(&mut piece, template.clone());
            out.push(Piece { size: size(&full.words), command: full, data: String::new() });
            piece.words = program.iter().cloned().collect();
            room = PIECE_BYTES;
        }
        room = room.saturating_sub(word.text.len() + 1);
        piece.words.push(word);
    }
    out.push(Piece { size: size(&piece.words), command: piece, data: String::new() });
    // What a redirection means depends on the program: each group of them goes with its first words.
    let mut start: Vec<Word> = Vec::new();
    for word in out.first().map(|piece| piece.command.words.as_slice()).unwrap_or_default() {
        if size(&start) + word.text.len() > PIECE_BYTES / 2 || start.len() >= 16 {
            break;
        }
        start.push(word.clone());
    }
    for group in redirects.chunks(PIECE_REDIRECTS) {
        let command = Command { words: start.clone(), redirects: group.to_vec(), ..template.clone() };
        out.push(Piece { size: size(&command.words) + PIECE_BYTES / 4, command, data: String::new() });
    }
    for part in segments(&data).filter(|part| !part.is_empty()) {
        let command = Command { words: program.iter().cloned().collect(), ..template.clone() };
        out.push(Piece { command, data: part.to_owned(), size: part.len() });
    }
    out
}

/// `text` in overlapping parts of at most [`PIECE_BYTES`].
fn segments(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let count = if text.len() <= PIECE_BYTES { 1 } else { 1 + (text.len() - PIECE_BYTES).div_ceil(PIECE_STEP) };
    (0..count).map(move |at| {
        let start = floor(text, at * PIECE_STEP);
        &text[start..floor(text, (at * PIECE_STEP + PIECE_BYTES).min(text.len()))]
    })
}

pub(crate) fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The windows over `pieces`, as ranges; at least one.
pub(crate) fn windows(pieces: &[Piece]) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    loop {
        let mut end = start;
        let mut bytes = 0;
        while end < pieces.len() && end - start < WINDOW && (end == start || bytes + pieces[end].size <= WINDOW_BYTES) {
            bytes += pieces[end].size;
            end += 1;
        }
        out.push(start..end);
        if end >= pieces.len() {
            return out;
        }
        start += STEP.min(end - start).max(1);
    }
}
