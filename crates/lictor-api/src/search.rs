// SPDX-License-Identifier: Apache-2.0
//! What it means that an event is about a program, a path, an address, a rule or some words. The filter asks here, and the
//! store's index is made so that it never misses what is said here.

use crate::event::Event;

/// Lower case, letter by letter: what is searched in and what is searched for, in one form.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().flat_map(char::to_lowercase).collect() }
}

/// The words of a [`folded`] text: runs of letters and digits.
pub fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The pieces of what somebody searches for, each [`folded`]. An event must have them all.
///
/// A piece without a letter or digit finds nothing in an index of words: an error that names it.
pub fn pieces(text: &str) -> Result<Vec<String>, String> {
    let pieces: Vec<String> = text.split_whitespace().map(folded).collect();
    match pieces.iter().find(|piece| words(piece).next().is_none()) {
        Some(piece) => Err(format!("`{piece}` has no letter or digit to search for")),
        None if pieces.is_empty() => Err("there are no words to search for".to_owned()),
        None => Ok(pieces),
    }
}

/// Whether `piece` (folded) stands in `text` as whole words: `curl` is in `/usr/bin/curl`, not in `curly`.
#[must_use]
pub fn has_piece(text: &str, piece: &str) -> bool {
    let text = folded(text);
    let joins = |neighbour: Option<char>, edge: Option<char>| {
        neighbour.is_some_and(char::is_alphanumeric) && edge.is_some_and(char::is_alphanumeric)
    };
    text.match_indices(piece).any(|(at, _)| {
        !joins(text[..at].chars().next_back(), piece.chars().next())
            && !joins(text[at + piece.len()..].chars().next(), piece.chars().next_back())
    })
}

/// `address:port`, `[v6]:port`.
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A program's name without its folder.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Event {
    /// Everything in it that free text is searched in.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let mut texts: Vec<&str> = Vec::with_capacity(16);
        let process = &self.process;
        texts
            .extend([&self.session, &self.agent, &process.exe, &process.cwd].into_iter().flatten().map(String::as_str));
        let arguments = process.args.iter().flatten().map(String::as_str);
        match &process.cmdline {
            Some(cmdline) => texts.push(cmdline),
            None => texts.extend(arguments),
        }
        if let Some(parent) = &process.parent {
            texts.extend([&parent.exe, &parent.cmdline].into_iter().flatten().map(String::as_str));
        }
        texts.extend(self.paths());
        texts.extend(self.hosts());
        if let Some(exec) = &self.exec {
            texts.extend(exec.interpreter.iter().chain(&exec.args).map(String::as_str));
        }
        if let Some(privilege) = &self.privilege {
            texts.push(&privilege.op);
            texts.extend(privilege.detail.as_deref());
        }
        if let Some(lost) = &self.lost {
            texts.push(&lost.reason);
        }
        if let Some(verdict) = &self.verdict {
            texts.extend([&verdict.rule, &verdict.source, &verdict.reason].into_iter().flatten().map(String::as_str));
            texts.extend(verdict.tags.iter().chain(&verdict.also).map(String::as_str));
        }
        texts
    }

    /// The files that it is about, sockets among them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let network = self.network.iter().filter(|network| network.port.is_none());
        let socket = network.filter_map(|network| network.address.as_deref());
        let exec = self.exec.iter().filter_map(|exec| exec.path.as_deref());
        let file = self.file.iter().flat_map(|file| [file.path.as_deref(), file.to.as_deref()]).flatten();
        let memory = self.memory.iter().filter_map(|memory| memory.path.as_deref());
        exec.chain(file).chain(memory).chain(socket)
    }

    /// The other end of a connection, by address and by name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.network.iter().flat_map(|network| [network.address.as_deref(), network.domain.as_deref()]).flatten()
    }

    /// The rules that matched, the deciding one first.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.verdict.iter().flat_map(|verdict| verdict.rule.iter().chain(&verdict.also)).map(String::as_str)
    }

    pub(crate) fn is_of_program(&self, program: &str) -> bool {
        self.process.exe.as_deref().is_some_and(|exe| exe == program || base_name(exe) == program)
    }

    /// `path` itself, or something below it.
    pub(crate) fn is_about_path(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths().any(|own| own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    pub(crate) fn is_about_address(&self, address: &str) -> bool {
        let port = self.network.as_ref().and_then(|network| network.port);
        self.hosts().any(|host| host == address || port.is_some_and(|port| host_port(host, port) == address))
    }

    /// Whether all words of `text` are in it.
    #[must_use]
    pub fn has_text(&self, text: &str) -> bool {
        let texts = self.texts();
        pieces(text).is_ok_and(|pieces| pieces.iter().all(|piece| texts.iter().any(|text| has_piece(text, piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_found_as_whole_words() {
        for (text, piece, found) in [
            ("/usr/bin/curl", "curl", true),
            ("curly", "curl", false),
            ("110.0.0.1", "10.0.0.1", false),
            ("to 10.0.0.1:80", "10.0.0.1", true),
            ("rm -rf /", "-rf", true),
            ("Grün", "grün", true),
            ("curly curl", "curl", true),
            ("a.env", ".env", true),
        ] {
            assert_eq!(has_piece(text, piece), found, "{text} {piece}");
        }
    }

    #[test]
    fn what_cannot_be_searched_for_is_said() {
        assert_eq!(pieces("Curl  10.0.0.1").unwrap(), ["curl", "10.0.0.1"]);
        assert!(pieces("curl ->").unwrap_err().contains("`->`"));
        assert!(pieces(" ").is_err());
    }
}
