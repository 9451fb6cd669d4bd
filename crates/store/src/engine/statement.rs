//! Reads just enough of a statement to route it: is it an INSERT with data, where do the data begin,
//! which format does it name. Everything else about SQL is the engine's own parser's business.
//!
//! The lexer follows ClickHouse's (`src/Parsers/Lexer.cpp`): quotes with backslash escapes, backticks,
//! `--`, `#` and `/* */` comments, `$tag$` heredocs.

use std::ops::Range;

/// What the first bytes of a request turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Cannot be told yet: read on.
    Unfinished,
    /// A statement without data: its text is all there is.
    Plain,
    /// An INSERT followed by its data.
    Insert(InsertHead),
    /// An INSERT that reads a file of the server.
    FromInfile,
}

/// An INSERT cut into statement and data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InsertHead {
    /// The statement without its FORMAT or VALUES clause: `..statement` of the text.
    pub(super) statement: usize,
    /// Format of the data, such as `RowBinary`; `Values` for a VALUES clause.
    pub(super) format: String,
    /// Where the data begin.
    pub(super) data: usize,
}

/// Decides what `text` is. `complete` says that no more bytes will come.
pub(super) fn head(text: &[u8], complete: bool) -> Head {
    let unfinished = if complete { Head::Plain } else { Head::Unfinished };
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.next() else { return unfinished };
    if first.end == text.len() && !complete {
        return Head::Unfinished;
    }
    if !first.is_word(text, "INSERT") {
        return Head::Plain;
    }
    let mut depth = 0_usize;
    let mut previous: Option<Token> = None;
    while let Some(token) = tokens.next() {
        // A token that touches the end may be longer than what has arrived.
        if token.end == text.len() && !complete {
            return Head::Unfinished;
        }
        let names_something = previous.as_ref().is_none_or(|p| p.introduces_name(text));
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && !names_something => {
                if token.is_word(text, "SELECT") || token.is_word(text, "WATCH") {
                    return Head::Plain;
                }
                if token.is_word(text, "INFILE") {
                    return Head::FromInfile;
                }
                if token.is_word(text, "VALUES") {
                    return Head::Insert(InsertHead {
                        statement: token.start,
                        format: "Values".to_owned(),
                        data: token.end,
                    });
                }
                if token.is_word(text, "FORMAT") {
                    return insert_format(text, complete, token.start, &mut tokens);
                }
            }
            _ => {}
        }
        previous = Some(token);
    }
    unfinished
}

/// After the FORMAT of an INSERT: its name, then spaces and one line break, then the data.
fn insert_format(text: &[u8], complete: bool, statement: usize, tokens: &mut Tokens<'_>) -> Head {
    let unfinished = if complete { Head::Plain } else { Head::Unfinished };
    let Some(name) = tokens.next() else { return unfinished };
    let mut data = name.end;
    let skip = |data: &mut usize, bytes: &[u8]| text.get(*data).is_some_and(|b| bytes.contains(b));
    while skip(&mut data, b" \t\x0c") {
        data += 1;
    }
    for line_break in *b"\r\n" {
        if skip(&mut data, &[line_break]) {
            data += 1;
        }
    }
    let line_ended = text[..data].ends_with(b"\n");
    if data == text.len() && !line_ended && !complete {
        return Head::Unfinished;
    }
    Head::Insert(InsertHead { statement, format: name.text(text), data })
}

/// The format a statement without data names at its end (`… FORMAT JSON [SETTINGS …]`), if it does.
pub(super) fn output_format(text: &[u8]) -> Option<String> {
    let mut depth = 0_usize;
    let mut tokens = Tokens::new(text).peekable();
    while let Some(token) = tokens.next() {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && token.is_word(text, "FORMAT") => {
                let name = tokens.next_if(|t| t.kind == Kind::Word);
                let at_end =
                    tokens.peek().is_none_or(|t| t.kind == Kind::Semicolon || t.is_word(text, "SETTINGS"));
                if let (Some(name), true) = (name, at_end) {
                    return Some(name.text(text));
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether the text holds more than one statement: anything after a `;` of its own.
pub(super) fn has_several(text: &[u8]) -> bool {
    let mut ended = false;
    for token in Tokens::new(text) {
        if token.kind == Kind::Semicolon {
            ended = true;
        } else if ended {
            return true;
        }
    }
    false
}

/// Whether any of `words` (upper case) stands in the statement as a word of its own.
pub(super) fn mentions(text: &[u8], words: &[&str]) -> bool {
    Tokens::new(text).any(|token| words.iter().any(|word| token.is_word(text, word)))
}

/// The first words of the statement, upper case, brackets left out.
pub(super) fn first_words<const N: usize>(text: &[u8]) -> [String; N] {
    let mut words = Tokens::new(text).filter(|t| t.kind == Kind::Word);
    std::array::from_fn(|_| words.next().map(|w| w.text(text).to_ascii_uppercase()).unwrap_or_default())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// `'…'`, `"…"`, `` `…` `` or a heredoc.
    Quoted,
    Open,
    Close,
    Semicolon,
    Other,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Token {
    fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    fn is_word(&self, text: &[u8], word: &str) -> bool {
        self.kind == Kind::Word && text[self.range()].eq_ignore_ascii_case(word.as_bytes())
    }

    fn text(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(&text[self.range()]).into_owned()
    }

    /// After these words comes a name, which may look like a keyword (`INSERT INTO format …`).
    fn introduces_name(&self, text: &[u8]) -> bool {
        ["INTO", "TABLE", "FUNCTION"].iter().any(|word| self.is_word(text, word))
            || text[self.range()] == *b"."
    }
}

/// Tokens of a statement, comments and spaces left out. A quote that is not closed runs to the end.
struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Tokens<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Moves behind the next occurrence of `mark`, or to the end.
    fn skip_past(&mut self, mark: &[u8]) {
        let rest = &self.text[self.at..];
        let found = rest.windows(mark.len()).position(|window| window == mark);
        self.at += found.map_or(rest.len(), |position| position + mark.len());
    }

    fn skip_spaces_and_comments(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            if rest.first().is_some_and(|b| b.is_ascii_whitespace() || *b == 0x0b) {
                self.at += 1;
            } else if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!") {
                self.skip_past(b"\n");
            } else if rest.starts_with(b"/*") {
                self.at += 2;
                self.skip_past(b"*/");
            } else {
                return;
            }
        }
    }

    /// Moves behind a quoted piece; backslash escapes the next byte. A doubled quote reads as two
    /// pieces side by side, which is all the same here.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == b'\\' {
                self.at = (self.at + 1).min(self.text.len());
            } else if byte == quote {
                return;
            }
        }
    }

    /// `$tag$ … $tag$`: moves behind it and tells so; a lone `$` is part of a word.
    fn skip_heredoc(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(close) = rest[1..].iter().position(|b| !is_word_byte(*b) || *b == b'$') else {
            return false;
        };
        if rest[1 + close] != b'$' {
            return false;
        }
        let tag = &rest[..close + 2];
        self.at += tag.len();
        self.skip_past(tag);
        true
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_spaces_and_comments();
        let start = self.at;
        let kind = match *self.text.get(start)? {
            quote @ (b'\'' | b'"' | b'`') => {
                self.skip_quoted(quote);
                Kind::Quoted
            }
            b'$' if self.skip_heredoc() => Kind::Quoted,
            byte if is_word_byte(byte) => {
                let word = self.text[start..].iter().take_while(|b| is_word_byte(**b)).count();
                self.at += word;
                Kind::Word
            }
            byte => {
                self.at += 1;
                match byte {
                    b'(' | b'[' | b'{' => Kind::Open,
                    b')' | b']' | b'}' => Kind::Close,
                    b';' => Kind::Semicolon,
                    _ => Kind::Other,
                }
            }
        };
        Some(Token { kind, start, end: self.at })
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
#[path = "statement/tests.rs"]
mod tests;
