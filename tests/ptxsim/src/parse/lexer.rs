//! Text to tokens.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, a number, an opcode with its modifiers or a directive.
    Word,
    /// Text in quotes, without them.
    Quoted,
    /// One of `, ; : { } [ ] ( ) < > = + - ! | @`.
    Mark,
}

/// A piece of text and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// From 1.
    pub(crate) line: u32,
}

/// The tokens of `text`; comments are left out. Fails with a line.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, (u32, String)> {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, (u32, String)> {
        self.skip_blank()?;
        let Some(&first) = self.rest().first() else { return Ok(None) };
        let (start, line) = (self.at, self.line);
        let kind = match first {
            b'"' => return self.quoted().map(Some),
            b',' | b';' | b':' | b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'<' | b'>' | b'='
            | b'+' | b'-' | b'!' | b'|' | b'@' => {
                self.at += 1;
                Kind::Mark
            }
            _ if is_word(first) => {
                self.word();
                Kind::Word
            }
            _ => return Err((line, format!("unexpected byte {:?}", char::from(first)))),
        };
        Ok(Some(Token { kind, text: &self.text[start..self.at], line }))
    }

    /// `::` joins words; a single colon does not.
    fn word(&mut self) {
        loop {
            match self.rest() {
                [b':', b':', ..] => self.at += 2,
                [byte, ..] if is_word(*byte) => self.at += 1,
                _ => return,
            }
        }
    }

    fn quoted(&mut self) -> Result<Token<'a>, (u32, String)> {
        let (start, line) = (self.at + 1, self.line);
        let Some(len) = self.text[start..].find('"') else {
            return Err((line, "a quote that does not end".into()));
        };
        let text = &self.text[start..start + len];
        self.line += text.matches('\n').count() as u32;
        self.at = start + len + 1;
        Ok(Token { kind: Kind::Quoted, text, line })
    }

    fn skip_blank(&mut self) -> Result<(), (u32, String)> {
        loop {
            match self.rest() {
                [b'\n', ..] => {
                    self.line += 1;
                    self.at += 1;
                }
                [byte, ..] if byte.is_ascii_whitespace() => self.at += 1,
                [b'/', b'/', ..] => self.skip_line(),
                [b'/', b'*', ..] => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }

    fn skip_comment(&mut self) -> Result<(), (u32, String)> {
        let rest = self.rest();
        let Some(len) = rest[2..].windows(2).position(|pair| pair == b"*/") else {
            return Err((self.line, "a comment that does not end".into()));
        };
        self.line += rest[..len + 2].iter().filter(|&&byte| byte == b'\n').count() as u32;
        self.at += len + 4;
        Ok(())
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).expect("tokens").iter().map(|token| token.text).collect()
    }

    #[test]
    fn statements_fall_into_words_and_marks() {
        assert_eq!(
            texts("@!%p1 ld.shared::cta.u32 %r1,[%rd2+-4]; // x\n$L:"),
            ["@", "!", "%p1", "ld.shared::cta.u32", "%r1", ",", "[", "%rd2", "+", "-", "4", "]"]
                .into_iter()
                .chain([";", "$L", ":"])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn lines_are_counted_through_comments() {
        let tokens = tokens("a /* x\ny */ b\nc").expect("tokens");
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        assert!(tokens("/* x").is_err());
        assert!(tokens("\"x").is_err());
        assert!(tokens("é").is_err());
    }
}
